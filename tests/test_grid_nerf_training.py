"""Training of Grid-NeRF: two stages, growth of planes and lines and of what follows them, exact resuming."""

from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from grid_nerf_field import TINY, grid_nerf_field
from training_states import checkpoint_of, differences, state

from neurocity.checkpoint import load_checkpoint
from neurocity.data.datasets import Views
from neurocity.data.load import load_scene
from neurocity.errors import ConfigError
from neurocity.families import find_family
from neurocity.grid_nerf.lightning_trainer import GridNeRFLightningConfig, GridNeRFLightningModule
from neurocity.grid_nerf.planes import resampled, sparsity, total_variation
from neurocity.training.metrics import psnr
from neurocity.training.options import RunOptions
from neurocity.training.run import train
from neurocity.training.views import render_view

MODEL: dict[str, Any] = {
    **TINY,
    "scene_bounds": (-1.5, -1.5, -1.5, 1.5, 1.5, 1.5),
    "mode": "objects",
    "initial_resolution": 8,
    "final_resolution": 15,
    "resolution_divisors": (1,),
    "occupancy_resolution": 16,
    "march_steps": 64,
    "initial_density": 1.0,
}
TRAINING: dict[str, Any] = {
    "samples_per_batch": 4096,
    "steps_per_epoch": 8,
    "occupancy_interval": 4,
    "occupancy_warmup": 8,
    "ema_decay": 0.9,
    "growth_shares": (0.25, 0.5),
    "joint_share": 0.6,
}


@pytest.fixture(autouse=True)
def _one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def train_grid_nerf(
    data: Path, out: Path, *, training: dict[str, Any] | None = None, branch: str = "grid", **options: Any
) -> Path:
    """Train on `data` with the tiny configurations; returns the last checkpoint."""
    family, callbacks = find_family("grid_nerf"), options.pop("callbacks", ())
    return train(
        family,
        load_scene(data),
        family.config_class()(**MODEL, render_branch=branch),
        config=family.lightning_config_class()(**{**TRAINING, **(training or {})}),
        options=RunOptions(**{"out": out, "device": "cpu", "progress": "none", **options}),
        callbacks=callbacks,
    )


class WatchGrowth(pl.Callback):
    """Keeps the grids of entries, averages and moments from before and after every growth."""

    def __init__(self) -> None:
        self.steps: list[int] = []
        self.pairs: list[tuple[torch.Tensor, torch.Tensor]] = []

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, GridNeRFLightningModule)
        grow = pl_module.grow

        def watched() -> None:
            before = self.grids(trainer, pl_module)
            size = pl_module.model.density_features.sizes.clone()
            grow()
            if not torch.equal(size, pl_module.model.density_features.sizes):
                self.steps.append(trainer.global_step)
                self.pairs += zip(before, self.grids(trainer, pl_module), strict=True)

        pl_module.grow = watched  # type: ignore[method-assign]

    @staticmethod
    def grids(trainer: pl.Trainer, module: GridNeRFLightningModule) -> list[torch.Tensor]:
        """Copies of all grids that grow, in a fixed order."""
        (optimizer,) = trainer.optimizers
        found = []
        (average,) = module.averaged_models()
        for features, averaged in zip(module.model.feature_sets(), average.feature_sets(), strict=True):
            states = [optimizer.state[table] for table in (features.planes, features.lines)]
            found += features.grids_in_use(features.planes, features.lines)
            found += averaged.grids_in_use(averaged.planes, averaged.lines)
            for key in ("exp_avg", "exp_avg_sq"):
                found += features.grids_in_use(states[0][key], states[1][key])
        return [grid.detach().clone() for grid in found]


def test_planes_lines_moments_and_averages_grow_at_their_shares_of_training(
    sphere: Path, tmp_path: Path
) -> None:
    watch = WatchGrowth()
    train_grid_nerf(sphere, tmp_path, max_steps=24, callbacks=[watch])
    assert watch.steps == [6, 12]
    assert len(watch.pairs) == 2 * 2 * 4 * 6, "of 2 growths, 2 sets, 4 tables each, 3 planes and 3 lines"
    sizes = set()
    for before, after in watch.pairs:
        assert after.shape[0] > before.shape[0]
        assert bool(before.any())
        torch.testing.assert_close(after, resampled(before, after.shape[0], after.shape[1]))
        sizes.add((before.shape[0], after.shape[0]))
    assert sizes == {(8, 11), (11, 15)}


@pytest.mark.parametrize("branch", ["grid", "nerf"])
def test_the_nerf_branch_is_trained_in_the_second_stage_alone(
    branch: str, sphere: Path, tmp_path: Path
) -> None:
    train_grid_nerf(sphere, tmp_path, training={"joint_share": 0.7}, branch=branch, max_steps=24)
    weights = {}
    for step in (8, 16, 24):
        content = torch.load(checkpoint_of(tmp_path, step), weights_only=True)["current_model_state"]
        weights[step] = {name: value for name, value in content.items() if "_net" in name or "nerf" in name}
    changed = {
        step: {name.split(".")[1] for name in weights[8] if not torch.equal(weights[8][name], after[name])}
        for step, after in weights.items()
    }
    assert changed[16] == {"density_net", "color_net"}
    assert changed[24] == {"density_net", "color_net", "nerf"}


@pytest.fixture(scope="module")
def uninterrupted(sphere: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 steps with growth after 6 and 12, the second stage after 14, and a checkpoint after every 8."""
    out = tmp_path_factory.mktemp("uninterrupted")
    torch.set_num_threads(1)
    train_grid_nerf(sphere, out, max_steps=24)
    return out


@pytest.mark.parametrize("step", [8, 16])
def test_a_run_that_died_goes_on_exactly_through_growth_and_stages(
    step: int, uninterrupted: Path, sphere: Path, tmp_path: Path
) -> None:
    resumed = train_grid_nerf(sphere, tmp_path, max_steps=24, resume=checkpoint_of(uninterrupted, step))
    assert differences(state(uninterrupted / "checkpoints" / "last.ckpt"), state(resumed)) == []


def test_both_branches_learn_the_sphere(sphere: Path, tmp_path: Path) -> None:
    training = {"steps_per_epoch": 1000, "growth_shares": (0.3,), "joint_share": 0.4}
    checkpoint = load_checkpoint(train_grid_nerf(sphere, tmp_path, training=training, max_steps=150))
    assert checkpoint.model.density_features.sizes[0].tolist() == [15, 15, 15]
    view = Views(load_scene(sphere).held_out)[0]
    quality = {}
    for branch in ("grid", "nerf"):
        checkpoint.model.nerf_rendered = branch == "nerf"
        quality[branch] = psnr(*render_view(checkpoint.model, view, (1.0, 1.0, 1.0)))
    assert quality["grid"] > 24.0
    assert quality["nerf"] > 21.0


def test_networks_have_a_learning_rate_of_their_own_and_tables_no_decay() -> None:
    config = GridNeRFLightningConfig(weight_decay=1e-3)
    module = GridNeRFLightningModule(find_family("grid_nerf").config_class()(**MODEL), config)
    tables, networks = module.parameter_groups()
    assert tables["weight_decay"] == 0.0
    assert "lr" not in tables
    assert (networks["weight_decay"], networks["lr"]) == (1e-3, 1e-2)
    names = {id(parameter): name for name, parameter in module.model.named_parameters()}
    assert all("features" in names[id(parameter)] for parameter in tables["params"])
    assert len(tables["params"]) == 4
    assert len(tables["params"]) + len(networks["params"]) == len(names)


def test_penalties_are_weighted() -> None:
    config = GridNeRFLightningConfig(sparsity_weight=0.5, variation_weight=0.25)
    module = GridNeRFLightningModule(find_family("grid_nerf").config_class()(**MODEL), config)
    density, appearance = module.model.feature_sets()
    expected = 0.5 * sparsity(density) + 0.25 * (total_variation(density) + total_variation(appearance))
    torch.testing.assert_close(module.penalty(), expected)
    free = GridNeRFLightningModule(
        find_family("grid_nerf").config_class()(**MODEL), GridNeRFLightningConfig()
    )
    assert free.penalty() == 0.0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"growth_shares": (0.5, 0.2)}, "growth_shares: got .*, expected one or more rising shares"),
        ({"growth_shares": ()}, "growth_shares: got"),
        ({"growth_shares": (0.5, 1.0)}, "growth_shares: got"),
        ({"joint_share": 1.5}, "joint_share: got 1.5"),
        ({"sparsity_weight": -1.0}, "sparsity_weight: got -1.0"),
    ],
)
def test_impossible_training_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        GridNeRFLightningConfig(**changes)


def test_an_untrained_branch_is_not_rendered() -> None:
    config = grid_nerf_field(render_branch="nerf").config
    with pytest.raises(ConfigError, match="render_branch is nerf, but joint_share is 1"):
        GridNeRFLightningModule(config, GridNeRFLightningConfig(joint_share=1.0))
