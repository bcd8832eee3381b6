"""How many bits the numbers of a quantised artefact have."""

from dataclasses import dataclass
from typing import Final

from neurocity.errors import ConfigError

FLOAT_BITS: Final = 32
_LIMITS: Final = {"density": (4, 8), "constant": (6, 16), "harmonics": (3, 8)}
"""Fewest and most bits of each kind of number."""


@dataclass(frozen=True)
class Bits:
    """Bits of raw densities, of colours' constants, and of their further harmonics; or 32, floats, of all.

    Raises ConfigError on others.
    """

    density: int = 8
    constant: int = 10
    harmonics: int = 6

    def __post_init__(self) -> None:
        got = self.density, self.constant, self.harmonics
        fits = all(low <= bits <= high for bits, (low, high) in zip(got, _LIMITS.values(), strict=True))
        if not fits and not self.floats:
            ranges = ", ".join(f"{name} {low} to {high}" for name, (low, high) in _LIMITS.items())
            raise ConfigError(
                f"bits: got {' '.join(map(str, got))}, expected {ranges}, or {FLOAT_BITS} of all for floats"
            )

    @property
    def floats(self) -> bool:
        """Whether nothing is quantised."""
        return self.density == self.constant == self.harmonics == FLOAT_BITS


FLOATS = Bits(FLOAT_BITS, FLOAT_BITS, FLOAT_BITS)
