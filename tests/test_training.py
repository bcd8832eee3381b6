"""Training runs on a small scene: they learn, leave what they promise, end in time, and fail aloud."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fixtures_training import TINY_MODEL, TINY_TRAINING, train_instant_ngp
from PIL import Image
from sphere_photographs import SIZE
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from neurocity.checkpoint import load_checkpoint, read_content
from neurocity.data.datasets import Views, training_datasets
from neurocity.data.load import load_scene
from neurocity.errors import ConfigError, MissingDependencyError, TrainingError
from neurocity.instant_ngp.core import InstantNGP, InstantNGPConfig
from neurocity.instant_ngp.lightning_trainer import InstantNGPLightningConfig, InstantNGPLightningModule
from neurocity.rendering.occupancy import OccupancyGrid
from neurocity.rendering.views import over_background
from neurocity.training import budget as budget_module
from neurocity.training.hull import visual_hull
from neurocity.training.metrics import psnr, ssim
from neurocity.training.views import render_view


def last(run: Path) -> Path:
    return run / "checkpoints" / "last.ckpt"


def scalars(run: Path, name: str) -> list[float]:
    events = EventAccumulator(str(run / "tensorboard"))
    events.Reload()
    return [event.value for event in events.Scalars(name)]


def held_out_images(data: Path, checkpoint: Path) -> list[tuple[torch.Tensor, torch.Tensor]]:
    model, views = load_checkpoint(checkpoint).model, Views(load_scene(data).splits["test"])
    return [render_view(model, views[index], (1.0, 1.0, 1.0)) for index in range(len(views))]


def test_it_learns_the_scene(trained_run: Path, sphere: Path) -> None:
    losses = scalars(trained_run, "train/loss")
    assert losses[-1] < 0.4 * losses[0]
    quality = scalars(trained_run, "val/psnr")
    assert len(quality) == 4
    assert quality[-1] > quality[0] + 3.0
    held_out = [psnr(*pair) for pair in held_out_images(sphere, last(trained_run))]
    # A picture of the background alone is at 6 dB, the mean colour on the right silhouette at 15 dB.
    assert sum(held_out) / 2 > 19.0


def test_logs_have_rates_metrics_and_the_learning_rate(trained_run: Path) -> None:
    for name in ("rays/s", "samples/s", "train/psnr", "val/ssim"):
        assert all(value > 0.0 for value in scalars(trained_run, name)), name
    rates = scalars(trained_run, "lr-Adam/pg1")
    assert rates[-1] < 0.2 * rates[0]


def test_three_best_checkpoints_and_the_last_are_kept(trained_run: Path) -> None:
    names = sorted(path.name for path in last(trained_run).parent.iterdir())
    assert names[0] == "last.ckpt"
    assert len(names) == 4
    written = {int(name.split("-")[1]): float(name.split("-")[3].removesuffix(".ckpt")) for name in names[1:]}
    quality = dict(zip((60, 120, 180, 240), scalars(trained_run, "val/psnr"), strict=True))
    best = sorted(quality, key=lambda step: quality[step])[1:]
    assert sorted(written) == sorted(best)
    assert all(abs(written[step] - quality[step]) < 0.006 for step in best)


def noted_psnr(run: Path) -> float:
    """The last validation's, as the checkpoint has it."""
    return float(read_content(last(run))["hyper_parameters"]["metrics"]["val/psnr"])


def test_the_checkpoint_says_what_it_is(trained_run: Path, sphere: Path) -> None:
    checkpoint = load_checkpoint(last(trained_run))
    assert checkpoint.family == "instant_ngp"
    assert checkpoint.step == 240
    assert noted_psnr(trained_run) == pytest.approx(scalars(trained_run, "val/psnr")[-1])
    scene = load_scene(sphere)
    assert checkpoint.info.bounds == scene.bounds
    assert checkpoint.info.background == (1.0, 1.0, 1.0)
    assert [view.name for view in checkpoint.info.views] == [frame.name for frame in scene.splits["test"]]
    assert checkpoint.info.dataset_fingerprint == scene.fingerprint()
    assert not checkpoint.model.training


def test_the_last_validation_is_what_the_checkpoint_renders(trained_run: Path, sphere: Path) -> None:
    """So validation, and with it the choice of the best, is of the averaged weights."""
    mean = sum(psnr(*pair) for pair in held_out_images(sphere, last(trained_run))) / 2
    assert mean == pytest.approx(noted_psnr(trained_run), abs=1e-3)


def test_validation_pictures_show_truth_and_render_right_side_up(trained_run: Path, sphere: Path) -> None:
    pictures = sorted((trained_run / "validation").iterdir())
    assert [picture.name for picture in pictures] == [
        f"step-{step:06d}-view-0.png" for step in (60, 120, 180, 240)
    ]
    both = torch.from_numpy(np.array(Image.open(pictures[-1]))).float() / 255.0
    assert both.shape == (SIZE, 2 * SIZE, 3)
    rgba = torch.from_numpy(load_scene(sphere).splits["test"][0].load_image()).float() / 255.0
    flat = rgba.view(-1, 4)
    expected = over_background(flat[:, :3] * flat[:, 3:], flat[:, 3], (1.0, 1.0, 1.0)).view(SIZE, SIZE, 3)
    assert float((both[:, :SIZE] - expected).abs().max()) < 0.6 / 255
    render = both[:, SIZE:]
    right = psnr(render, expected)
    for axes in ((0,), (1,), (0, 1)):
        assert psnr(render.flip(axes), expected) < right - 1.0
    assert right > 18.0


def test_equal_seeds_give_equal_weights(sphere: Path, tmp_path: Path) -> None:
    """On two threads, whose order of work changes."""
    short = {"steps_per_epoch": 6, "occupancy_interval": 2}
    first, second, other = (
        torch.load(
            train_instant_ngp(
                sphere, tmp_path / name, training={**short, "seed": seed}, threads=threads, max_steps=6
            ),
            weights_only=True,
        )["current_model_state"]
        for name, seed, threads in (("first", 7, 2), ("second", 7, 2), ("other", 8, 1))
    )
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["model.encoding.table"], other["model.encoding.table"])


def test_without_averaging_the_checkpoint_has_the_last_weights(sphere: Path, tmp_path: Path) -> None:
    options = {"steps_per_epoch": 12}
    plain = train_instant_ngp(
        sphere, tmp_path / "plain", training={**options, "use_ema": False}, max_steps=12
    )
    averaged = train_instant_ngp(sphere, tmp_path / "averaged", training=options, max_steps=12)
    one = torch.load(plain, weights_only=True)["state_dict"]
    two = torch.load(averaged, weights_only=True)["current_model_state"]
    assert all(torch.equal(one[name], two[name]) for name in one)


class Clock:
    """A time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


def test_minutes_count_training_alone(sphere: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step takes 2 s, a view of validation 500 s, everything else 100 s: half a minute is 15 steps."""
    clock = Clock()
    monkeypatch.setattr(budget_module.TrainingClock, "now", clock.monotonic)

    def slowly(name: str, seconds: float) -> None:
        original = getattr(InstantNGPLightningModule, name)

        def slow(module: InstantNGPLightningModule, *arguments: Any) -> Any:
            clock.now += seconds
            return original(module, *arguments)

        monkeypatch.setattr(InstantNGPLightningModule, name, slow)

    slowly("on_fit_start", 100.0)
    slowly("training_step", 2.0)
    slowly("validation_step", 500.0)
    path = train_instant_ngp(sphere, tmp_path / "run", training={"steps_per_epoch": 4}, max_minutes=0.5)
    content = torch.load(path, weights_only=True)
    assert content["global_step"] == 15
    resumed = train_instant_ngp(
        sphere, tmp_path / "run", training={"steps_per_epoch": 4}, max_minutes=0.7, resume=path
    )
    assert torch.load(resumed, weights_only=True)["global_step"] == 21


def test_whichever_budget_is_spent_first_ends_a_run(sphere: Path, tmp_path: Path) -> None:
    path = train_instant_ngp(sphere, tmp_path, max_steps=3, max_minutes=60.0)
    assert torch.load(path, weights_only=True)["global_step"] == 3


def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_good_checkpoint(
    sphere: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = InstantNGPLightningModule.target

    def broken(module: InstantNGPLightningModule, batch: Any) -> Any:
        color, background = target(module, batch)
        return color * (math.nan if module.trainer.global_step == 7 else 1.0), background

    monkeypatch.setattr(InstantNGPLightningModule, "target", broken)
    with pytest.raises(TrainingError, match="the loss is nan at step 7; the last good checkpoint is kept"):
        train_instant_ngp(sphere, tmp_path, training={"steps_per_epoch": 5}, max_steps=20)
    checkpoint = load_checkpoint(last(tmp_path))
    assert checkpoint.step == 5
    assert all(bool(value.isfinite().all()) for value in checkpoint.model.parameters())


def test_bounds_in_which_nothing_is_seen_are_an_error(sphere: Path, tmp_path: Path) -> None:
    bounds = (50.0, 50.0, 50.0, 51.0, 51.0, 51.0)
    with pytest.raises(ConfigError, match=r"scene_bounds: got .* does not meet the scene's box"):
        train_instant_ngp(sphere, tmp_path, model={"scene_bounds": bounds}, max_steps=2)


def test_a_hull_that_is_empty_is_an_error(sphere: Path) -> None:
    rays, _ = training_datasets(load_scene(sphere))
    model = InstantNGP(InstantNGPConfig(**TINY_MODEL))
    with pytest.raises(TrainingError, match=r"no part of the scene's bounds .* is seen by the cameras"):
        visual_hull(rays, model, low=torch.full((3,), 50.0), side=1.0, resolution=8)


def test_a_scene_that_becomes_empty_is_an_error(
    sphere: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Simplest cause: a threshold that nothing exceeds, not even the mean."""

    def empty(occupancy: OccupancyGrid, *_: object, **__: object) -> None:
        occupancy.set_occupied(torch.zeros(32**3, dtype=torch.bool))

    monkeypatch.setattr(OccupancyGrid, "update", empty)
    with pytest.raises(TrainingError, match="no ray of step 8 meets occupied space"):
        train_instant_ngp(sphere, tmp_path, max_steps=20)


def test_a_folder_with_checkpoints_is_not_overwritten(trained_run: Path, sphere: Path) -> None:
    before = last(trained_run).read_bytes()
    with pytest.raises(ConfigError, match=r"already holds checkpoints; .*--resume .*last\.ckpt"):
        train_instant_ngp(sphere, trained_run, max_steps=1)
    assert last(trained_run).read_bytes() == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "give max_steps, max_minutes or both"),
        ({"max_steps": 0}, "max_steps: got 0, expected more than 0"),
        ({"max_minutes": -1.0}, "max_minutes: got -1.0"),
    ],
)
def test_a_run_needs_an_end(options: dict[str, Any], message: str, sphere: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        train_instant_ngp(sphere, tmp_path, **options)
    assert not (tmp_path / "checkpoints").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"learning_rate": 0.0}, "learning_rate: got 0.0"),
        ({"steps_per_epoch": 0}, "steps_per_epoch: got 0"),
        ({"optimizer_type": "sgd"}, "'sgd', expected adam or adamw"),
        ({"ema_decay": 1.0}, "ema_decay: got 1.0"),
        ({"samples_per_batch": 10}, "samples_per_batch: got 10"),
        ({"occupancy_share": 0.0}, "occupancy_share: got 0.0"),
    ],
)
def test_impossible_training_configurations_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        InstantNGPLightningConfig(**changes)


def test_devices_are_never_exchanged_silently(
    sphere: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for device, kind, message in (
        ("cuda", MissingDependencyError, "finds no CUDA device"),
        ("tpu", ConfigError, "'tpu', expected auto, cpu or cuda"),
    ):
        with pytest.raises(kind, match=message):
            train_instant_ngp(sphere, tmp_path / "run", max_steps=1, device=device)
    assert not (tmp_path / "run").exists()


def test_adamw_and_clipped_gradients_train_too(sphere: Path, tmp_path: Path) -> None:
    options = {"optimizer_type": "adamw", "gradient_clip_val": 0.5, "steps_per_epoch": 20}
    train_instant_ngp(sphere, tmp_path, training=options, max_steps=40)
    quality = scalars(tmp_path, "val/psnr")
    assert quality[1] > quality[0]


def test_feature_tables_have_no_weight_decay() -> None:
    module = InstantNGPLightningModule(TINY_MODEL, TINY_TRAINING)
    tables, networks = module.parameter_groups()
    assert [id(parameter) for parameter in tables["params"]] == [id(module.model.encoding.table)]
    assert tables["weight_decay"] == 0.0
    assert networks["weight_decay"] == 1e-6
    assert len(networks["params"]) == len(list(module.parameters())) - 1


def test_psnr_and_ssim_are_those_of_their_papers() -> None:
    image = torch.rand(16, 16, 3, generator=torch.Generator().manual_seed(0)) * 0.5
    assert psnr(image, image + 0.1) == pytest.approx(20.0, abs=1e-4)
    assert psnr(image, image) == math.inf
    assert ssim(image, image) == pytest.approx(1.0)
    # Of a constant shift, only the luminance term changes: near 1 for a bright, lower for a dark image.
    assert 0.3 < ssim(image, image + 0.3) < 0.9
