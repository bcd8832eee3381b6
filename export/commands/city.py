"""Exports a trained city: each block and the coarse model, proved, and the composed city compared.

`neurocity-export city CITY` writes versions into CITY/models and, when all is proved, names them in
CITY/city.json in one step. Exit codes are those of `neurocity-export`; 1 also where parts are not trained.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from export.checks import Check, require
from export.city.parts import PartModels, PartSource, export_part, open_part, shown_of_coarse, trained_parts
from export.city.proof import Photographed, compare_with_definition, compare_with_photographs
from export.format import Precision
from export.job.console import ConsoleProgress, print_error
from export.parity.gate import Progress
from neurocity.city.artefacts import MODELS_FOLDER
from neurocity.city.manifest import City, read_city, write_city
from neurocity.city.renderer import CityRenderer
from neurocity.city_training.options import COARSE
from neurocity.data.load import load_scene
from neurocity.data.scene import Frame
from neurocity.errors import DataError, ExportError, NeuroCityError
from neurocity.exit_codes import exit_code

_MEMORY_BYTES = 2**40
"""Of blocks: nothing stands in for another in a picture that is judged."""


@dataclass(frozen=True)
class Arguments:
    """The command line."""

    city: Annotated[Path, tyro.conf.Positional]
    """Folder of a city whose parts were trained by `neurocity city train`."""
    allow_missing: bool = False
    """Export what is trained; for blocks that are not the coarse model stands in."""
    precision: Precision = "fp32"
    """fp16 stores colours in half precision, so that artefacts are half as large."""
    data: Path | None = None
    """Folder of the photographs, where it is another one than on the machine that planned."""
    downscale: int = 1
    """Divide image sizes by this whole number, as the training did."""
    skip_photographs: bool = False
    """Do not compare the city with held-out photographs."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code."""
    parsed = tyro.cli(
        Arguments,
        args=arguments,
        prog="neurocity-export city",
        config=(tyro.conf.FlagCreatePairsOff,),
        description="Exports a trained city: each part is proved, and the composed city compared.",
    )
    messages = Console(stderr=True)
    try:
        with ConsoleProgress(messages) as progress:
            lines = _run(parsed, progress)
    except NeuroCityError as error:
        print_error(messages, str(error))
        return exit_code(error)
    print(*lines, sep="\n")
    return 0


def _run(parsed: Arguments, progress: Progress) -> list[str]:
    folder = parsed.city.resolve()
    city = read_city(folder)
    records, absent = trained_parts(folder, city)
    if absent and (COARSE in absent or not parsed.allow_missing):
        raise ExportError(
            f"{folder}: not trained: {', '.join(absent)}; `neurocity city train` trains them"
            + ("" if COARSE in absent else ", and --allow-missing exports the city without")
        )
    frames = _photographs(parsed, city)
    sources = {part: open_part(folder, city, part, record) for part, record in records.items()}
    made = {
        part: export_part(folder, city, source, precision=parsed.precision, progress=_named(progress, part))
        for part, source in sources.items()
    }
    city = _with_models(city, made)
    checks, photographed = _compare(folder, city, sources, frames, progress)
    require(checks)
    if photographed is not None and city.coarse.model is not None:
        figures = city.coarse.model.figures | photographed.record()
        city = replace(city, coarse=replace(city.coarse, model=replace(city.coarse.model, figures=figures)))
    path = write_city(folder, city)
    return [*_lines(made, absent), *_summary(checks, photographed), str(path)]


def _with_models(city: City, made: dict[str, PartModels]) -> City:
    """The city with the models that were made; blocks without are without."""
    blocks = tuple(
        replace(
            block,
            model=made[block.id].model if block.id in made else None,
            coarser=made[block.id].coarser if block.id in made else (),
        )
        for block in city.blocks
    )
    return replace(city, blocks=blocks, coarse=replace(city.coarse, model=made[COARSE].model))


def _compare(
    folder: Path,
    city: City,
    sources: dict[str, PartSource],
    frames: Sequence[Frame] | None,
    progress: Progress,
) -> tuple[list[Check], Photographed | None]:
    coarse = sources[COARSE]
    blocks = tuple(part for part in sources if part != COARSE)
    parts = [shown_of_coarse(coarse.model, city, blocks), *(sources[part].model for part in blocks)]
    with tempfile.TemporaryDirectory(prefix="neurocity-city-") as draft:
        # The city as it is going to be, of which nobody else knows yet.
        write_city(Path(draft), city)
        (Path(draft) / MODELS_FOLDER).symlink_to(folder / MODELS_FOLDER)
        renderer = CityRenderer(Path(draft), _MEMORY_BYTES)
        info = coarse.checkpoint.info
        checks = compare_with_definition(renderer, parts, coarse.model, info, progress)
        photographed = None
        if frames is not None:
            photographed = compare_with_photographs(renderer, frames, info, progress)
    return checks, photographed


def _photographs(parsed: Arguments, city: City) -> Sequence[Frame] | None:
    """The held-out frames. Raises DataError, which says how to do without."""
    if parsed.skip_photographs:
        return None
    try:
        scene = load_scene(
            parsed.data or city.data,
            downscale=parsed.downscale,
            missing="skip",
            unbounded=city.unbounded,
            origin=city.origin,
        )
    except DataError as error:
        raise DataError(f"{error}; --data names another folder, --skip-photographs does without") from None
    return scene.held_out


def _named(progress: Progress, part: str) -> Progress:
    return lambda doing, done, total: progress(f"{part}: {doing}", done, total)


def _lines(made: dict[str, PartModels], absent: tuple[str, ...]) -> list[str]:
    width = max(map(len, made))
    rows = []
    for part, models in made.items():
        sizes = " ".join(f"{each.artefact.bytes:>11,}" for each in (models.model, *models.coarser))
        figures = models.model.figures
        psnr = f", {figures['psnr_db']:.2f} dB" if "psnr_db" in figures else ""
        state = "version" if models.made else "kept as version"
        rows.append(f"{part:<{width}}  {sizes} bytes, {state} {models.model.version}{psnr}")
    rows += [f"{part:<{width}}  not trained: the coarse model stands in" for part in absent]
    return rows


def _summary(checks: list[Check], photographed: Photographed | None) -> list[str]:
    worst = min((float(check.got) for check in checks if check.name == "psnr_db"), default=float("inf"))
    rows = [f"composed city against its definition: {worst:.1f} dB at least, {len(checks)} checks passed"]
    if photographed is not None:
        rows.append(
            f"held-out photographs: {photographed.all_db:.2f} dB; within a tenth of a cell of borders "
            f"{photographed.border_db:.2f} dB ({photographed.border_pixels:,} pixels), inside of blocks "
            f"{photographed.inside_db:.2f} dB ({photographed.inside_pixels:,} pixels)"
        )
    return rows
