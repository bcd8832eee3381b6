"""The parts of a trained city as native artefacts: blocks clipped to their cells, with cuts to see from afar.

Nothing of `city.json` changes here: versions are added to the city's models, and what the record would say of
them is returned.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from export.format import Precision
from export.job.job import Job
from export.job.outcome import Outcome
from export.job.run import run_job
from export.parity.gate import Progress
from export.repository.publish import latest_version
from neurocity.checkpoint import Checkpoint, load_checkpoint
from neurocity.city.artefacts import MODELS_FOLDER, write_model
from neurocity.city.coarsening import cuts_from_afar
from neurocity.city.extent import voxel_box, voxel_side
from neurocity.city.ground import as_high_as, joined
from neurocity.city.manifest import City, CityModel
from neurocity.city_training.job import parts_of, plan_digest, run_folder
from neurocity.city_training.layout import clipped
from neurocity.city_training.options import COARSE
from neurocity.city_training.record import Record, read_record
from neurocity.contract import SceneManifest, model_name
from neurocity.errors import ExportError, UnsupportedError
from neurocity.kernels.file import open_file, scene_data
from neurocity.kernels.scene import SceneData
from neurocity.model_repository import Version, open_version
from neurocity.svraster.core import SVRaster

FORMAT: Final = "native"
_CUT_FROM: Final = "cut_from"
_BLACK: Final = (0.0, 0.0, 0.0)


@dataclass(frozen=True, kw_only=True)
class PartSource:
    """A trained part. model: of it what the city shows."""

    part: str
    record: Record
    checkpoint: Checkpoint
    model: SVRaster


@dataclass(frozen=True, kw_only=True)
class PartModels:
    """What `city.json` says of a part: its model, and its cuts, each coarser than those before. made: whether
    it was written now, and not kept."""

    model: CityModel
    coarser: tuple[CityModel, ...] = ()
    made: bool = True


def trained_parts(folder: Path, city: City) -> tuple[dict[str, Record], tuple[str, ...]]:
    """The records of the parts that are trained, and the names of all others.

    Raises ExportError for parts that were trained by another plan than there is now, or with another coarse
    model.
    """
    records: dict[str, Record] = {}
    absent = []
    for part in parts_of(city):
        record = read_record(run_folder(folder, part))
        if record is not None and record.state == "trained":
            records[part] = record
        else:
            absent.append(part)
    coarse = records[COARSE].sha256 if COARSE in records else ""

    def is_other(part: str, record: Record) -> bool:
        began = "" if part == COARSE else coarse
        return record.plan != plan_digest(city, part) or record.coarse_sha256 != began

    if other := [part for part, record in records.items() if coarse and is_other(part, record)]:
        raise ExportError(
            f"{folder}: trained by another plan or with another coarse model: {', '.join(other)}; "
            "`neurocity city train --overwrite` trains them anew"
        )
    return records, tuple(absent)


def open_part(folder: Path, city: City, part: str, record: Record) -> PartSource:
    """A trained part from its checkpoint; a block's model has the voxels in its cells alone.

    Raises CheckpointError, ExportError when the file is another one than was trained, and TrainingError when
    a block has nothing in its cells.
    """
    checkpoint = load_checkpoint(folder / record.checkpoint)
    if checkpoint.sha256 != record.sha256:
        raise ExportError(
            f"{folder / record.checkpoint}: has SHA-256 {checkpoint.sha256[:12]}, its record says "
            f"{record.sha256[:12]}; train the part again"
        )
    if not isinstance(checkpoint.model, SVRaster):
        raise UnsupportedError(f"{part}: is of {checkpoint.family}; parts of a city are SVRaster models")
    if part == COARSE:
        info = replace(checkpoint.info, bounds=city.coarse.box)
        return PartSource(
            part=part,
            record=record,
            checkpoint=replace(checkpoint, info=info),
            model=checkpoint.model,
        )
    block = city.block(part)
    model = clipped(checkpoint.model, city.ground, block.cells)
    # A block has no sky, and a scene without a background colour would be opaque.
    info = replace(
        checkpoint.info,
        bounds=as_high_as(city.ground, joined(map(city.ground.box, block.cells)), city.coarse.box),
        background=checkpoint.info.background or _BLACK,
    )
    return PartSource(
        part=part, record=record, checkpoint=replace(checkpoint, model=model, info=info), model=model
    )


def export_part(
    folder: Path, city: City, source: PartSource, *, precision: Precision, progress: Progress
) -> PartModels:
    """Export and prove a part, unless its newest version is of the same checkpoint. Raises ExportError."""
    name = f"{city.name}-{source.part}"
    models = folder / MODELS_FOLDER
    newest = latest_version(models, model_name(name, FORMAT, precision))
    kept = _version(models, name, precision, newest) if newest else None
    made = kept is None or kept.manifest.checkpoint_sha256 != source.record.sha256
    if made:
        job = Job(
            checkpoint=folder / source.record.checkpoint,
            out=models,
            name=name,
            format=FORMAT,
            precision=precision,
            version=newest + 1,
            profile_seconds=0.0,
        )
        _require(run_job(job, progress, checkpoint=source.checkpoint))
        kept = _version(models, name, precision, newest + 1)
    assert kept is not None
    data = scene_data(open_file(kept.verify(kept.manifest.artefact)))
    model = _city_model(kept, data, source)
    if source.part == COARSE:
        return PartModels(model=model, made=made)
    return PartModels(model=model, coarser=tuple(_cuts(folder, city, kept, data)), made=made)


def _city_model(version: Version, data: SceneData, source: PartSource) -> CityModel:
    manifest, record = version.manifest, source.record
    views = manifest.parity["views"]
    figures = {
        "voxels": float(len(data.tensors["records"])),
        "steps": float(record.step),
        "seconds": record.seconds,
        "parity_psnr_db": min(1000.0, *(float(view["psnr_db"]) for view in views)),
    }
    if record.psnr is not None:
        figures["psnr_db"] = record.psnr
    return CityModel(
        folder=f"{MODELS_FOLDER}/{manifest.model_name}/{manifest.version}",
        version=manifest.version,
        artefact=manifest.artefact,
        box=voxel_box(data),
        voxel_side=voxel_side(data),
        figures=figures,
    )


def _cuts(folder: Path, city: City, version: Version, data: SceneData) -> Iterator[CityModel]:
    """The block with larger and larger voxels; cuts that were made before of the same artefact stay."""
    source = version.manifest
    for number, cut in enumerate(cuts_from_afar(data, city.ground), start=1):
        manifest = replace(
            source,
            scene=f"{source.scene}-{number}",
            engine={},
            files=(),
            options={_CUT_FROM: source.artefact.sha256},
        )
        place = folder / MODELS_FOLDER / manifest.model_name / str(manifest.version)
        if not place.exists():
            yield write_model(folder, manifest, cut)
            continue
        present = open_version(place).manifest
        if present.options.get(_CUT_FROM) != source.artefact.sha256:
            raise ExportError(f"{place}: is a cut of another model; remove it")
        yield CityModel(
            folder=f"{MODELS_FOLDER}/{manifest.model_name}/{manifest.version}",
            version=manifest.version,
            artefact=present.artefact,
            box=voxel_box(cut),
            voxel_side=voxel_side(cut),
        )


def shown_of_coarse(coarse: SVRaster, city: City, blocks: tuple[str, ...]) -> SVRaster:
    """Of the coarse model what is seen beside these blocks."""
    cells = [cell for block in blocks for cell in city.block(block).cells]
    return clipped(coarse, city.ground, cells, without=True)


def _version(models: Path, name: str, precision: Precision, number: int) -> Version:
    return open_version(models / model_name(name, FORMAT, precision) / str(number))


def _require(outcome: Outcome) -> SceneManifest:
    """Raises ExportError with what was wrong."""
    if outcome.manifest is None:
        raise ExportError(f"{outcome.job.name}: {outcome.error}")
    return outcome.manifest
