"""One training run of the benchmark, in a process of its own: quality over training time, rates, memory."""

import json
import math
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import pytorch_lightning as pl
import torch
import tyro

from benchmarks.machine import facts
from export.speed.measure import peak_memory
from neurocity.cameras import Camera
from neurocity.checkpoint import Checkpoint, load_checkpoint
from neurocity.data.datasets import ViewBatch, Views
from neurocity.data.load import load_scene
from neurocity.families import find_family
from neurocity.presets import PresetName
from neurocity.rendering.views import render_rays
from neurocity.training.budget import TrainingBudget, TrainingClock
from neurocity.training.metrics import image_metrics, psnr
from neurocity.training.module import RadianceFieldModule
from neurocity.training.options import RunOptions
from neurocity.training.run import train
from neurocity.training.run_config import assignments, with_values
from neurocity.training.views import on_device, render_view

CURVE_POINTS = 8
# The curve tells more, and epochs of few steps would be validated for longer than they train.
NO_VALIDATION = {"check_val_every_n_epoch": 10**9}
FRAME_SIDE = 200
FRAMES = 3
MEBIBYTE = 2**20


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What all runs of a benchmark have in common."""

    data: Path
    """Folder of the dataset."""
    preset: PresetName = "cpu"
    """Size of model and batches."""
    seed: int = 0
    """Seed of every run."""
    downscale: int = 1
    """Divide image sizes by this whole number."""
    unbounded: bool | None = None
    """Whether the images show more than the bounds hold, instead of the rule in docs/conventions.md."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to train."""
    precision: Literal["32-true", "16-mixed", "bf16-mixed"] = "32-true"
    """Precision of training."""
    changes: tuple[str, ...] = ()
    """Values that differ from the preset's, as for `neurocity train --set`."""
    clock: Literal["wall", "cpu"] = "wall"
    """What minutes are of; `cpu`, with OMP_NUM_THREADS=1, is for machines that do other work beside."""
    curve_views: int = 4
    """Held-out views, evenly spread, that a curve is the mean of; all of them give the final figures."""


@dataclass(frozen=True, kw_only=True)
class TrainingRun(Settings):
    """What is trained, on what and for how long; the same run is not made twice."""

    family: str
    minutes: float

    def key(self) -> str:
        """One line that tells runs apart."""
        return json.dumps({**asdict(self), "data": str(self.data.resolve())}, sort_keys=True)


class QualityCurve(pl.Callback):
    """PSNR of some held-out views at fixed training times, of the averaged weights; not counted as training.

    points: pairs of training seconds and the mean PSNR in dB.
    """

    def __init__(self, views: Sequence[ViewBatch], seconds: Sequence[float]) -> None:
        self.views = views
        self.pending = sorted(seconds)
        self.points: list[tuple[float, float]] = []
        self.rates: dict[str, float] = {}
        self.memory = 0.0

    def on_train_batch_start(self, trainer: pl.Trainer, module: pl.LightningModule, *_: Any) -> None:
        budget = next(callback for callback in trainer.callbacks if isinstance(callback, TrainingBudget))
        if self.pending and budget.seconds >= self.pending[0]:
            clocks = [callback for callback in trainer.callbacks if isinstance(callback, TrainingClock)]
            for clock in clocks:
                clock.stop()
            self.pending = [seconds for seconds in self.pending if seconds > budget.seconds]
            self.points.append((budget.seconds, self._mean_psnr(module)))
            for clock in clocks:
                clock.go()

    def on_train_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        assert isinstance(module, RadianceFieldModule)
        budget = next(callback for callback in trainer.callbacks if isinstance(callback, TrainingBudget))
        seconds = max(budget.seconds, 1e-9)
        self.rates = {"rays/s": module.trained_rays / seconds, "samples/s": module.trained_samples / seconds}
        on_gpu = module.device.type == "cuda"
        self.memory = torch.cuda.max_memory_allocated() if on_gpu else peak_memory() or math.nan
        self.points.append((budget.seconds, self._mean_psnr(module)))

    def _mean_psnr(self, module: pl.LightningModule) -> float:
        assert isinstance(module, RadianceFieldModule)
        model = (module.averaged_models() or [module.model])[0]
        was_training = model.training
        model.eval()
        pairs = [render_view(model, on_device(view, module.device), module.background) for view in self.views]
        model.train(was_training)
        return statistics.mean(psnr(*pair) for pair in pairs)


def measure(run: TrainingRun, out: Path) -> dict[str, Any]:
    """Train, and return the figures of the run as plain data; `out` keeps its checkpoints and logs."""
    if run.clock == "cpu":
        if torch.get_num_threads() > 1:
            raise SystemExit("--clock cpu counts the time of all threads: set OMP_NUM_THREADS=1")
        TrainingClock.now = time.process_time
    family = find_family(run.family)
    scene = load_scene(run.data, downscale=run.downscale, unbounded=run.unbounded)
    changes = assignments(run.changes)
    model_config = family.config_class().preset(run.preset).for_scene(scene.bounds, scene.unbounded, scene.up)
    model_config = with_values(model_config, changes["model"], where="model")
    config = family.lightning_config_class().preset(run.preset, seed=run.seed)
    config = with_values(config, changes["training"], where="training")
    held_out = Views(scene.held_out)
    count = min(run.curve_views, len(held_out))
    curve = QualityCurve(
        [held_out[index * len(held_out) // count] for index in range(count)],
        # Dense at first, when quality rises fast.
        [60.0 * run.minutes * ((index + 1) / CURVE_POINTS) ** 1.5 for index in range(CURVE_POINTS - 1)],
    )
    options = RunOptions(
        out=out, max_minutes=run.minutes, device=run.device, precision=run.precision, progress="lines"
    )
    last = train(
        family, scene, model_config, config=config, options=options, callbacks=[curve], **NO_VALIDATION
    )
    device = "cuda" if run.device != "cpu" and torch.cuda.is_available() else "cpu"
    checkpoint = load_checkpoint(last, device)
    return {
        "run": json.loads(run.key()),
        "machine": facts(),
        "steps": checkpoint.step,
        **_quality(checkpoint, held_out, device),
        **curve.rates,
        "seconds_per_frame": _frame_seconds(checkpoint, device),
        "peak_memory_mib": curve.memory / MEBIBYTE,
        "parameters": sum(parameter.numel() for parameter in checkpoint.model.parameters()),
        "curve_views": count,
        "curve": curve.points,
    }


def _frame_seconds(checkpoint: Checkpoint, device: str) -> float:
    """Median seconds of held-out views at 200x200 pixels, eager."""
    times = []
    for view in checkpoint.info.views[:FRAMES]:
        camera = Camera.from_view(view).resized(FRAME_SIDE, FRAME_SIDE)
        rays = [torch.from_numpy(plane).to(device) for plane in camera.rays().arrays()]
        radii = torch.from_numpy(camera.ray_radii())[:, None].to(device)
        began = TrainingClock.now()
        float(render_rays(checkpoint.model, *rays, radii).opacity.sum())  # waits for a GPU
        times.append(TrainingClock.now() - began)
    return statistics.median(times)


def _quality(checkpoint: Checkpoint, views: Views, device: str) -> dict[str, float]:
    """Mean metrics of all held-out views."""
    rows = []
    for index in range(len(views)):
        view = on_device(views[index], torch.device(device))
        rows.append(image_metrics(*render_view(checkpoint.model, view, checkpoint.info.background)))
    return {name: statistics.mean(row[name] for row in rows) for name in rows[0]}


@dataclass(frozen=True)
class Arguments:
    """Make one run and write its figures to OUT/result.json."""

    run: Annotated[TrainingRun, tyro.conf.OmitArgPrefixes]
    out: Path
    """Folder for the run."""


def main() -> None:
    """Make the run."""
    arguments = tyro.cli(Arguments, description=__doc__)
    result = measure(arguments.run, arguments.out)
    (arguments.out / "result.json").write_text(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
