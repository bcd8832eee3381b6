"""A job done in this process: a function of the city's folder, the part and the options.

A part that is trained is not trained again, and one whose training broke off goes on from its last
checkpoint, which Lightning writes at the end of every epoch.
"""

import math
import shutil
import socket
from dataclasses import replace
from functools import partial
from typing import Any, Final, NamedTuple

import torch

from neurocity.checkpoint import load_checkpoint, read_content
from neurocity.city.manifest import City, read_city
from neurocity.city_training import layout
from neurocity.city_training.block_module import Beginning, BlockModule, CoarseModule, PartFamily
from neurocity.city_training.job import Job, plan_digest, run_folder
from neurocity.city_training.options import COARSE
from neurocity.city_training.photographs import BlockRays, held_out_views, named_frames
from neurocity.city_training.record import (
    PROGRESS_FILE,
    Record,
    only_one,
    read_record,
    write_record,
)
from neurocity.city_training.stamps import Stamps, scene_of
from neurocity.city_training.state import digest_of, is_trained
from neurocity.city_training.surroundings import Surroundings, region_of
from neurocity.contract import file_sha256
from neurocity.data.datasets import TrainingRays, Views
from neurocity.data.scene import Scene
from neurocity.errors import ConfigError, DataError, NeuroCityError, TrainingError, TrainingInterruptedError
from neurocity.exit_codes import FAILURE, exit_code
from neurocity.svraster.core import SVRaster, SVRasterConfig
from neurocity.svraster.lightning_trainer import SVRasterLightningConfig
from neurocity.training.callbacks import ProgressFile
from neurocity.training.exposure import Exposure
from neurocity.training.options import RunOptions
from neurocity.training.run import train
from neurocity.training.run_config import assignments, with_values

COARSE_VIEWS: Final = 8
"""Held-out views of the coarse model at most, in even steps."""


class _Work(NamedTuple):
    """What a run is made of."""

    family: PartFamily
    scene: Scene
    model: SVRasterConfig
    training: SVRasterLightningConfig
    datasets: tuple[TrainingRays, Views]


def train_part(job: Job) -> Record:
    """Train a part, unless it is trained already, and return what its record then says.

    Raises ConfigError, DataError, TrainingError (which is in the record too), TrainingInterruptedError,
    CheckpointError, ManifestError and MissingDependencyError.
    """
    if job.threads:
        torch.set_num_threads(job.threads)
    city, run = read_city(job.city), job.run_folder
    with only_one(run):
        coarse_sha256 = "" if job.part == COARSE else trained_coarse(job).sha256
        digest = digest_of(city, job)
        minutes, steps = job.options.budget(job.part)
        before, stamps = read_record(run), Stamps(city, job.options)
        if before is not None and is_trained(city, job, stamps):
            return before
        photographs = stamps.of(job.part)
        _clear_other_run(job, before, digest, photographs)
        record = Record(
            part=job.part,
            state="training",
            digest=digest,
            plan=plan_digest(city, job.part),
            photographs=photographs,
            minutes=minutes,
            steps=steps,
            coarse_sha256=coarse_sha256,
            host=socket.gethostname(),
            attempts=1 if before is None else before.attempts + 1,
        )
        write_record(run, record)
        try:
            record = _train(job, city, record)
        except TrainingInterruptedError:
            raise  # which is no failure: it goes on when it is begun again
        except NeuroCityError as error:
            write_record(run, replace(record, state="failed", error=str(error), exit_code=exit_code(error)))
            raise
        except Exception as error:  # no memory, a disk that is gone: those that wait for it are to know
            reason = f"{type(error).__name__}: {error}"
            write_record(run, replace(record, state="failed", error=reason, exit_code=FAILURE))
            raise
        write_record(run, record)
        return record


def trained_coarse(job: Job) -> Record:
    """The record of the coarse model. Raises TrainingError when that is not trained."""
    record = read_record(run_folder(job.city, COARSE))
    if record is None or record.state != "trained":
        raise TrainingError(
            f"{job.part}: the coarse model is not trained yet, with which blocks begin; train the part "
            f"{COARSE!r} first"
        )
    return record


def _clear_other_run(job: Job, before: Record | None, digest: str, photographs: str) -> None:
    """Remove the run of another plan, other options or photographs. Raises ConfigError unless that is asked
    for.
    """
    run = job.run_folder
    if before is None or not any((run / "checkpoints").glob("*.ckpt")):
        return
    is_same = before.digest == digest
    if is_same and not before.is_of_others(photographs):
        return
    if not job.overwrite:
        by = "other photographs of the same names" if is_same else "another plan or other options"
        if job.part != COARSE and before.coarse_sha256 != trained_coarse(job).sha256:
            by = "another coarse model"
        raise ConfigError(
            f"{job.part}: {run} was trained by {by}; --overwrite trains it anew, or plan into another folder"
        )
    for entry in run.iterdir():
        if entry.is_dir():
            shutil.rmtree(entry)


def _train(job: Job, city: City, record: Record) -> Record:
    """Raises as `train_part`."""
    work = _coarse_work(job, city) if job.part == COARSE else _block_work(job, city)
    run = job.run_folder
    options = RunOptions(
        out=run,
        max_minutes=record.minutes,
        max_steps=record.steps,
        device=job.options.device,
        progress="none",
    )
    if options.last_checkpoint.exists():
        options = replace(options, resume=options.last_checkpoint)
    path = train(
        work.family,
        work.scene,
        work.model,
        config=work.training,
        options=options,
        datasets=work.datasets,
        callbacks=[ProgressFile(run / PROGRESS_FILE)],
    )
    content = read_content(path)
    psnr = float(content["hyper_parameters"]["metrics"].get("val/psnr", math.nan))
    return replace(
        record,
        state="trained",
        checkpoint=path.relative_to(job.city).as_posix(),
        sha256=file_sha256(path),
        step=int(content["global_step"]),
        seconds=_seconds(content),
        psnr=psnr if math.isfinite(psnr) else None,
    )


def _seconds(content: dict[str, Any]) -> float:
    """Of training, which the checkpoint's clock counted."""
    clocks = [state["seconds"] for state in content.get("callbacks", {}).values() if "seconds" in state]
    return float(max(clocks, default=0.0))


def _configurations(job: Job, model: SVRasterConfig, **changes: Any) -> tuple[Any, Any]:
    """Of model and training, with the values that were named."""
    training = SVRasterLightningConfig.preset(job.options.preset, seed=job.options.seed, **changes)
    named = assignments(job.options.set_)
    return (
        with_values(model, named["model"], where="model"),
        with_values(training, named["training"], where="training"),
    )


def _coarse_work(job: Job, city: City) -> _Work:
    scene = scene_of(city, job.options)
    if not scene.held_out:
        raise DataError(f"{scene.root}: has no val or test frames; a model is judged and exported by them")
    changes: dict[str, Any] = {"exposure": job.options.exposure}
    if not city.unbounded:
        changes["hull_resolution"] = layout.hull_resolution(city.ground)
    preset = SVRasterConfig.preset(job.options.preset)
    model, training = _configurations(job, layout.coarse_config(city, preset), **changes)
    frames = named_frames(scene, city.coarse.photographs)
    rays = TrainingRays(frames, scene=scene, seed=training.seed, batches=training.steps_per_epoch)
    views = Views(scene.held_out[:: -(-len(scene.held_out) // COARSE_VIEWS)])
    module = partial(CoarseModule, ground=city.ground, bounds=city.coarse.box)
    family = PartFamily(name="svraster", model="SVRaster", module=module)
    return _Work(family, scene, model, training, (rays, views))


def _block_work(job: Job, city: City) -> _Work:
    scene, block = scene_of(city, job.options), city.block(job.part)
    path = job.city / trained_coarse(job).checkpoint
    coarse = load_checkpoint(path).model
    assert isinstance(coarse, SVRaster), "the coarse model's family"
    preset = SVRasterConfig.preset(job.options.preset)
    defaults = SVRasterLightningConfig.preset(job.options.preset)
    # What is behind a block is light too: rays need not end in it, and may be half transparent.
    changes: dict[str, Any] = {"entropy_weight": 0.0, "remaining_light_weight": 0.0}
    if city.unbounded:
        changes["total_variation_weight"] = defaults.unbounded_total_variation_weight
    model, training = _configurations(job, layout.block_config(city, preset), **changes)
    region = region_of(city.ground, block)
    surroundings = Surroundings(coarse.scene_data(), region)
    frames = named_frames(scene, block.photographs)
    rays = BlockRays(frames, surroundings, scene=scene, seed=training.seed, batches=training.steps_per_epoch)
    exposure, views = _exposure(path, city, block.photographs)
    beginning = Beginning(coarse, city.ground, surroundings, exposure, views)
    family = PartFamily(name="svraster", model="SVRaster", module=partial(BlockModule, beginning=beginning))
    return _Work(family, scene, model, training, (rays, held_out_views(scene, surroundings)))


def _exposure(
    checkpoint: Any, city: City, photographs: tuple[str, ...]
) -> tuple[Exposure | None, torch.Tensor | None]:
    """What the coarse model learnt of photographs' exposure, and which of its photographs a block's are."""
    learnt = read_content(checkpoint)["state_dict"].get("exposure.logarithms")
    if learnt is None:
        return None, None
    exposure = Exposure().requires_grad_(False)
    exposure.load_state_dict({"logarithms": learnt})
    number = {name: index for index, name in enumerate(city.coarse.photographs)}
    return exposure, torch.tensor([number[name] for name in photographs])
