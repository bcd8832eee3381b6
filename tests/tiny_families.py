"""Every family small enough to be trained in a test."""

from typing import Any

from fixtures_training import TINY_MODEL, TINY_TRAINING

from neurocity.families import find_family

MODELS: dict[str, dict[str, Any]] = {
    "instant_ngp": {**TINY_MODEL, "num_levels": 2},
    "svraster": {"max_octree_levels": 4, "base_resolution": 8, "sh_degree": 1, "max_voxels": 2000},
    "grid_nerf": {
        "initial_resolution": 12,
        "final_resolution": 24,
        "resolution_divisors": (1, 2),
        "density_components": 4,
        "appearance_components": 4,
        "hidden_dim": 16,
        "nerf_frequencies": 4,
        "nerf_width": 16,
        "occupancy_resolution": 32,
        "march_steps": 64,
    },
    "mip_nerf": {
        "depth": 2,
        "width": 32,
        "skip_layer": 2,
        "bottleneck_width": 16,
        "color_width": 16,
        "coarse_samples": 8,
        "fine_samples": 8,
        "hull_resolution": 16,
    },
}
_OCCUPANCY = {name: TINY_TRAINING[name] for name in ("samples_per_batch", "occupancy_interval")}
TRAININGS: dict[str, dict[str, Any]] = {
    "instant_ngp": _OCCUPANCY,
    "grid_nerf": _OCCUPANCY,
    "mip_nerf": {"cones_per_batch": 100},
    # Voxels change after every epoch.
    "svraster": {
        "rays_per_batch": 512,
        "hull_resolution": 8,
        "subdivision_start_epoch": 1,
        "subdivision_interval": 1,
        "pruning_start_epoch": 1,
        "pruning_interval": 1,
    },
}


def tiny_model(family: str) -> Any:
    """The family's `cpu` model, made smaller where it is known how."""
    return find_family(family).config_class().preset("cpu", **MODELS.get(family, {}))


def tiny_training(family: str, **changes: Any) -> Any:
    """The family's `cpu` training with the tiny model, some fields changed."""
    fields = {"model_config": tiny_model(family), **TRAININGS.get(family, {}), **changes}
    return find_family(family).lightning_config_class().preset("cpu", **fields)
