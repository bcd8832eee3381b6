"""Configuration of Instant-NGP: what the model is, apart from how it is trained."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from neurocity.rendering.field_config import MarchedFieldConfig
from neurocity.rendering.hash_grid import HashKind


@dataclass(frozen=True, kw_only=True)
class InstantNGPConfig(MarchedFieldConfig):
    """Instant-NGP (Müller et al. 2022). Defaults are the paper's; `preset("cpu")` learns in minutes."""

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {},
        "cpu": {
            "num_levels": 8,
            "level_dim": 4,
            "log2_hashmap_size": 16,
            "finest_resolution": 512,
            "march_steps": 512,
            # Steps as long as three pixels of a photograph 200 wide: a third of the samples, and sharper.
            "step_growth": 1.0 / 64.0,
        },
    }

    num_levels: int = 16
    """Levels L of the hash grid."""
    level_dim: int = 2
    """Features F a level: 1, 2 or 4."""
    log2_hashmap_size: int = 19
    """Binary logarithm of the rows T of a level's table."""
    base_resolution: int = 16
    """Resolution of the coarsest level."""
    finest_resolution: int = 2048
    """Resolution of the finest level."""
    hash_kind: HashKind = "base_convert"
    """Spatial hash: additive (exports everywhere) or the paper's XOR (for comparison)."""
    hidden_dim: int = 64
    """Width of the density and colour networks."""
    geometry_dim: int = 16
    """Outputs of the density network; the first is the log-density, all feed the colour network."""
    color_layers: int = 2
    """Hidden layers of the colour network."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_at_least(1, "hidden_dim", "geometry_dim", "color_layers")
