"""The model families: a folder `neurocity/<name>/` and a line in `FAMILIES` each, see `neurocity.family`."""

from typing import TYPE_CHECKING

from neurocity.errors import ConfigError
from neurocity.family import Family, RenderModel

FAMILIES = {
    family.name: family
    for family in (
        Family("grid_nerf", "GridNeRF"),
        Family("instant_ngp", "InstantNGP"),
        Family("mip_nerf", "MipNeRF"),
        Family("svraster", "SVRaster"),
    )
}

if TYPE_CHECKING:  # mypy alone reads this: each family is what `RenderModel` says
    from neurocity.grid_nerf.core import GridNeRF
    from neurocity.instant_ngp.core import InstantNGP
    from neurocity.mip_nerf.core import MipNeRF
    from neurocity.svraster.core import SVRaster

    _MODELS: tuple[type[RenderModel], ...] = (GridNeRF, InstantNGP, MipNeRF, SVRaster)


def find_family(name: str) -> Family:
    """The family of that name. Raises ConfigError that lists the known ones."""
    if name not in FAMILIES:
        raise ConfigError(f"family: got {name!r}, expected one of {', '.join(sorted(FAMILIES))}")
    return FAMILIES[name]
