"""Training of Instant-NGP with Lightning (Müller et al. 2022, section 5.4 and appendix E)."""

from dataclasses import dataclass, replace
from typing import Any, Self

from neurocity.contract import SceneInfo
from neurocity.errors import ConfigError
from neurocity.instant_ngp.config import Preset
from neurocity.instant_ngp.core import InstantNGP, InstantNGPConfig
from neurocity.training.occupancy import MarchedFieldConfig, MarchedFieldModule


@dataclass(frozen=True, kw_only=True)
class InstantNGPLightningConfig(MarchedFieldConfig):
    """Training of Instant-NGP; defaults are the paper's."""

    @classmethod
    def preset(cls, name: Preset, **changes: Any) -> Self:
        """The named preset with some fields changed. Raises ConfigError for an unknown name."""
        presets: dict[str, dict[str, Any]] = {
            "paper": {},
            "cpu": {"samples_per_batch": 2**15, "occupancy_share": 0.25},
        }
        if name not in presets:
            raise ConfigError(f"preset: got {name!r}, expected one of {sorted(presets)}")
        return replace(cls(), **{**presets[name], **changes})


class InstantNGPLightningModule(MarchedFieldModule):
    """Trains an `InstantNGP`; configurations may be plain dictionaries, as a checkpoint has them."""

    family = "instant_ngp"
    model: InstantNGP
    config: InstantNGPLightningConfig

    def __init__(
        self,
        model_config: InstantNGPConfig | dict[str, Any],
        lightning_config: InstantNGPLightningConfig | dict[str, Any] | None = None,
        scene: SceneInfo | dict[str, Any] | None = None,
    ) -> None:
        if isinstance(model_config, dict):
            model_config = InstantNGPConfig(**model_config)
        if isinstance(lightning_config, dict):
            lightning_config = InstantNGPLightningConfig(**lightning_config)
        super().__init__(
            InstantNGP(model_config), lightning_config or InstantNGPLightningConfig(), self.scene_of(scene)
        )
        self.save_hyperparameters(self.record(model_config))
