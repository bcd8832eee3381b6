"""`neurocity city cut`."""

import math
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np

from neurocity.city.artefacts import MODELS_FOLDER, write_model
from neurocity.city.coarsening import COARSE_LEVELS, coarsened, cuts_from_afar
from neurocity.city.cutting import cut, ground_of, ground_spans
from neurocity.city.ground import as_high_as, cells_of_box, neighbours
from neurocity.city.manifest import (
    CITY_FILE,
    Block,
    City,
    CityModel,
    Coarse,
    Ground,
    city_name,
    write_city,
)
from neurocity.cli import CityCut
from neurocity.contract import SceneInfo, SceneManifest
from neurocity.errors import ConfigError, UnsupportedError
from neurocity.kernels.file import open_file, scene_data
from neurocity.kernels.scene import SceneData
from neurocity.model_repository import newest_version_folder, open_version

BLACK = (0.0, 0.0, 0.0)


def run(arguments: CityCut) -> None:
    """Write the blocks and the city's file. Raises ConfigError, ManifestError and UnsupportedError."""
    if (arguments.out / CITY_FILE).exists():
        raise ConfigError(f"out: {arguments.out} has a city; name another folder")
    if (arguments.out / MODELS_FOLDER).exists():
        raise ConfigError(
            f"out: {arguments.out / MODELS_FOLDER} is there and {CITY_FILE} is not: the models of a cut that "
            "did not end; remove it, or name another folder"
        )
    name = city_name(arguments.out)
    version = open_version(newest_version_folder(arguments.model))
    source = version.manifest
    if source.format != "native":
        raise UnsupportedError(f"{arguments.model}: is in the format {source.format}; native is what is cut")
    data = scene_data(open_file(version.verify(source.artefact)))
    ground = ground_for(data, source.info, arguments.block_size)
    rectangle = cells_of_box(ground, source.info.bounds)
    parts = cut(data, ground, rectangle)
    coarse = coarsened(
        data,
        ground.level + COARSE_LEVELS,
        lambda each: ground_spans(each, ground).within(rectangle.low, rectangle.high),
    )
    created = datetime.now(UTC).isoformat(timespec="seconds")

    def write(part: SceneData, label: str, info: SceneInfo) -> CityModel:
        manifest = replace(
            source,
            scene=f"{name}-{label}",
            version=1,
            info=info,
            engine={},
            created=created,
            options={"cut_from": source.artefact.sha256},
        )
        return write_model(arguments.out, manifest, part)

    # Blocks have no sky, which is what a scene without a background colour is before.
    info = replace(source.info, background=source.info.background or BLACK)
    blocks = []
    for cell in sorted(parts.blocks, key=lambda cell: cell[::-1]):
        label = ground.name(cell)
        model, *coarser = (
            write(each, label if not cuts else f"{label}-{cuts}", info)
            for cuts, each in enumerate((parts.blocks[cell], *cuts_from_afar(parts.blocks[cell], ground)))
        )
        beside = sorted(ground.name(other) for other in neighbours(cell) if other in parts.blocks)
        blocks.append(
            Block(
                id=label,
                cells=(cell,),
                training_box=as_high_as(ground, ground.box(cell), source.info.bounds),
                neighbours=tuple(beside),
                model=model,
                coarser=tuple(coarser),
            )
        )
    city = City(
        name=name,
        ground=ground,
        blocks=tuple(blocks),
        coarse=Coarse(box=source.info.bounds, model=write(coarse, "coarse", source.info)),
        origin=source.info.origin,
        up=source.info.up,
        unbounded=ground.inner > 0,
    )
    path = write_city(arguments.out, city)
    print(*lines(city, source), sep="\n")
    print(path)


def ground_for(data: SceneData, info: SceneInfo, block_size: float) -> Ground:
    """The ground of a model: cells are in the cube of its scene's bounds, around which it may have shells.

    Raises as `cutting.ground_of`.
    """
    low, high = np.split(np.array(info.bounds), 2)
    root = float(data.settings.get("root_side", math.nan))
    inner = round(math.log2(root / (high - low).max())) if root > 0.0 else 0
    return ground_of(data, block_size, up_axis=int(np.abs(info.up).argmax()), inner=max(inner, 0))


def lines(city: City, source: SceneManifest) -> list[str]:
    """The blocks in words, a line for each."""
    models = [(block.id, (block.model, *block.coarser)) for block in city.blocks]
    models.append(("coarse", (city.coarse.model,)))
    width = max(len(label) for label, _ in models)
    sizes = {label: [model.artefact.bytes for model in each if model] for label, each in models}
    rows = [
        f"{label:<{width}}  {' '.join(f'{size:>12,}' for size in each)} bytes"
        for label, each in sizes.items()
    ]
    return [
        *rows,
        f"{len(city.blocks)} cells of {city.ground.cell_side:g} units; cut from {source.model_name} version "
        f"{source.version} of {source.artefact.bytes:,} bytes",
    ]
