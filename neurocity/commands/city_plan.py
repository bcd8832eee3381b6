"""`neurocity city plan`."""

from neurocity.city.manifest import CITY_FILE, city_name, write_city
from neurocity.city.picture import draw_plan
from neurocity.city.plan import Plan, PlanOptions, plan_city
from neurocity.cli import CityPlan
from neurocity.commands.remarks import print_remarks
from neurocity.data.load import load_scene
from neurocity.errors import ConfigError, DataError
from neurocity.publishing import published

PICTURE_FILE = "plan.png"


def run(arguments: CityPlan) -> None:
    """Write the plan and its picture. Raises ConfigError, DataError and ManifestError."""
    if (arguments.out / CITY_FILE).exists() and not arguments.overwrite:
        raise ConfigError(f"out: {arguments.out} has a city; name another folder, or pass --overwrite")
    name = city_name(arguments.out)
    options = PlanOptions(
        block_size=arguments.block_size,
        margin=arguments.margin,
        fewest_views=arguments.min_views,
        few=arguments.few_views,
    )
    scene = load_scene(arguments.data, missing=arguments.missing, bounds=arguments.bounds)
    print_remarks(scene)
    plan = plan_city(scene, name, options, crs=arguments.crs)
    path = write_city(arguments.out, plan.city)
    picture = arguments.out / PICTURE_FILE
    try:
        with published(picture) as partial:
            draw_plan(plan.city, scene).save(partial)
    except OSError as error:
        raise DataError(f"{picture}: the picture cannot be written ({error})") from None
    print(*lines(plan), sep="\n")
    print(path)


def lines(plan: Plan) -> list[str]:
    """The plan in words: a line for each block, and the remarks below."""
    city = plan.city
    width = max(len(block.id) for block in city.blocks)
    rows = [
        f"{block.id:<{width}}  {len(block.photographs):>6} photographs"
        + (f", {len(block.cells)} cells" if len(block.cells) > 1 else "")
        for block in city.blocks
    ]
    rows.append(f"{'coarse':<{width}}  {len(city.coarse.photographs):>6} photographs")
    return rows + [f"- {remark}" for remark in plan.remarks]
