"""Training of Mip-NeRF: what it starts from, what it minimises, that it learns."""

from pathlib import Path
from typing import Any

import pytest
import torch

from neurocity.data.datasets import TrainingRays, Views, training_datasets
from neurocity.data.load import load_scene
from neurocity.errors import ConfigError, TrainingError
from neurocity.mip_nerf.core import MipNeRFConfig
from neurocity.mip_nerf.lightning_trainer import (
    MipNeRFLightningConfig,
    MipNeRFLightningModule,
    squared_error,
    train_mip_nerf_lightning,
)
from neurocity.rendering.render import TrainingRender
from neurocity.training.metrics import psnr
from neurocity.training.views import render_view

MODEL: dict[str, Any] = {
    "position_degrees": 5,
    "width": 48,
    "bottleneck_width": 32,
    "color_width": 32,
    "coarse_samples": 8,
    "fine_samples": 12,
    "hull_resolution": 64,
}
TRAINING: dict[str, Any] = {"cones_per_batch": 256, "warmup_steps": 20, "ema_decay": 0.9}
QUIET: dict[str, Any] = {
    "gpus": 0,
    "logger": False,
    "enable_progress_bar": False,
    "enable_checkpointing": False,
}


@pytest.fixture(scope="module")
def datasets(sphere: Path) -> tuple[TrainingRays, Views]:
    return training_datasets(load_scene(sphere), batches=150, rays_per_batch=512)


def train(
    datasets: tuple[TrainingRays, Views], *, steps: int | None = None, **training: Any
) -> MipNeRFLightningModule:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        module: MipNeRFLightningModule = train_mip_nerf_lightning(
            model_config=MipNeRFConfig.preset("cpu", **MODEL),
            lightning_config=MipNeRFLightningConfig.preset("cpu", **{**TRAINING, **training}),
            train_dataset=datasets[0],
            val_dataset=datasets[1],
            max_epochs=1,
            limit_train_batches=steps,
            **QUIET,
        )
        return module
    finally:
        torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def trained(datasets: tuple[TrainingRays, Views]) -> MipNeRFLightningModule:
    return train(datasets)


def test_it_learns_a_sphere(trained: MipNeRFLightningModule, datasets: tuple[TrainingRays, Views]) -> None:
    values = [psnr(*render_view(trained.model, view, (1.0, 1.0, 1.0))) for view in datasets[1]]
    assert min(values) > 24.0


def test_training_starts_from_the_cameras_and_the_hull(
    trained: MipNeRFLightningModule, datasets: tuple[TrainingRays, Views]
) -> None:
    rays, space = datasets[0], trained.model.space
    radius = float(rays.frames[0].camera.ray_radii().mean())
    assert trained.model.mean_radius.item() == pytest.approx(radius, rel=1e-5)
    share = float(space.possible.float().mean())
    volume = 4 / 3 * torch.pi * 0.8**3 / 3.0**3
    assert volume < share < 3.0 * volume
    batch = rays.batch(0, 2000)
    hit, _ = trained.model.cast(batch["ray_origins"], batch["ray_directions"], batch["ray_radii"])
    missed = torch.ones(2000, dtype=torch.bool)
    missed[hit] = False
    assert bool((batch["rgba"][missed, 3] == 0.0).all()), "what is not trained on is background"
    assert 0.1 < float(missed.float().mean()) < 0.95


def test_as_many_rays_are_drawn_as_meet_the_hull_often_enough(trained: MipNeRFLightningModule) -> None:
    batch = trained.trainer.train_dataloader.dataset.batch(0, trained.rays_per_batch)
    hit, _ = trained.model.cast(batch["ray_origins"], batch["ray_directions"], batch["ray_radii"])
    assert 0.8 * 256 < len(hit) < 1.25 * 256


def test_the_error_is_the_mean_over_all_backgrounds() -> None:
    torch.manual_seed(0)
    render = TrainingRender(torch.rand(6, 3), torch.rand(6), 0)
    rgba, weights = torch.rand(6, 4), torch.rand(6, 1)
    backgrounds = torch.rand(200_000, 1, 3)
    image = render.rgb + (1.0 - render.opacity)[:, None] * backgrounds
    truth = rgba[:, :3] * rgba[:, 3:] + (1.0 - rgba[:, 3:]) * backgrounds
    expected = (weights * (image - truth) ** 2).mean()
    torch.testing.assert_close(squared_error(render, rgba, weights), expected, rtol=2e-3, atol=0)


def test_a_batch_that_meets_nothing_has_no_error_and_a_gradient() -> None:
    rgb = torch.zeros(0, 3, requires_grad=True)
    error = squared_error(TrainingRender(rgb, torch.zeros(0), 0), torch.zeros(0, 4), torch.zeros(0, 1))
    error.backward()
    assert error.item() == 0.0


def test_pixels_can_weigh_as_much_as_their_area() -> None:
    model = MipNeRFConfig.preset("cpu", **MODEL)
    radii = torch.tensor([[1.0], [2.0], [1.0], [2.0]])
    by_area = MipNeRFLightningModule(model, MipNeRFLightningConfig(weigh_by_area=True))
    torch.testing.assert_close(by_area.pixel_weights(radii), radii**2 / 2.5)
    alike = MipNeRFLightningModule(model, MipNeRFLightningConfig())
    assert torch.equal(alike.pixel_weights(radii), torch.ones(4, 1))


def test_equal_seeds_give_equal_weights(datasets: tuple[TrainingRays, Views]) -> None:
    """Fast matrices and a first pass that is trained now and then among it; another seed differs."""
    one, two, other = (train(datasets, seed=seed, steps=8) for seed in (0, 0, 1))
    for name, value in one.model.state_dict().items():
        assert torch.equal(value, two.model.state_dict()[name]), name
    assert not torch.equal(one.model.network.color_layer.weight, other.model.network.color_layer.weight)


def test_a_scene_without_matter_is_refused(datasets: tuple[TrainingRays, Views]) -> None:
    module = MipNeRFLightningModule(
        MipNeRFConfig.preset("cpu", **MODEL, scene_bounds=(20.0, 20.0, 20.0, 21.0, 21.0, 21.0))
    )
    with pytest.raises(TrainingError, match="check the bounds"):
        module.start(datasets[0])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cones_per_batch": 0}, "cones_per_batch: got 0"),
        ({"coarse_interval": 0}, "coarse_interval: got 0"),
        ({"coarse_weight": -0.1}, "coarse_weight: got -0.1"),
    ],
)
def test_impossible_configurations_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        MipNeRFLightningConfig(**changes)
