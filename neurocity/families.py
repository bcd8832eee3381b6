"""The model families: a folder `neurocity/<name>/` and a line in `FAMILIES` each, see `neurocity.family`."""

from neurocity.errors import ConfigError
from neurocity.family import Family

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
