"""Training of a dense grid with Lightning."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from neurocity.training.occupancy import MarchedFieldModule, MarchedTrainingConfig


@dataclass(frozen=True, kw_only=True)
class DenseGridLightningConfig(MarchedTrainingConfig, learning_rate=0.05, ema_decay=0.98):
    """Training of a dense grid."""

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"paper": {}, "cpu": {"samples_per_batch": 2**15}}


class DenseGridLightningModule(MarchedFieldModule):
    """Trains a `DenseGrid`."""

    family = "dense_grid"
