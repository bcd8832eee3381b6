"""The model families. A family is a folder `neurocity/<name>/` and one line in `FAMILIES`."""

from dataclasses import dataclass
from importlib import import_module
from typing import Any

from neurocity.errors import ConfigError


@dataclass(frozen=True)
class Family:
    """Where a family's parts are; they are imported when they are asked for.

    name: the folder's name, also used on command lines and in checkpoints.
    model: class name of the render model in `core`; its configuration is `<model>Config` there, its training
        is `<model>LightningModule` and `<model>LightningConfig` in `lightning_trainer`.
    """

    name: str
    model: str

    def model_class(self) -> Any:
        """The torch module whose eval forward is the render graph."""
        return getattr(import_module(f"neurocity.{self.name}.core"), self.model)

    def config_class(self) -> Any:
        """The frozen dataclass that configures the model; has a `preset` constructor."""
        return getattr(import_module(f"neurocity.{self.name}.core"), f"{self.model}Config")

    def lightning_module_class(self) -> Any:
        """The LightningModule that trains the model."""
        return getattr(
            import_module(f"neurocity.{self.name}.lightning_trainer"), f"{self.model}LightningModule"
        )

    def lightning_config_class(self) -> Any:
        """The frozen dataclass that configures training; has a `preset` constructor."""
        return getattr(
            import_module(f"neurocity.{self.name}.lightning_trainer"), f"{self.model}LightningConfig"
        )


FAMILIES = {
    family.name: family
    for family in (
        Family("grid_nerf", "GridNeRF"),
        Family("instant_ngp", "InstantNGP"),
        Family("mip_nerf", "MipNeRF"),
        Family("svraster", "SVRaster"),
    )
}


def find_family(name: str) -> Family:
    """The family of that name. Raises ConfigError that lists the known ones."""
    if name not in FAMILIES:
        raise ConfigError(f"family: got {name!r}, expected one of {', '.join(sorted(FAMILIES))}")
    return FAMILIES[name]
