"""Numbers of rays that an engine is made for."""

from dataclasses import dataclass
from typing import Self

from export.job.config import MAX_RAYS
from neurocity.errors import ConfigError

_LARGEST_OVER_USUAL = 4
"""Rays of the largest call over those of the usual one; memory is set aside for the largest."""


@dataclass(frozen=True, kw_only=True)
class RayProfile:
    """Numbers of rays in one call that an engine takes (least, most), and the one that it is tuned for.

    Raises ConfigError unless 1 <= least <= usual <= most.
    """

    least: int
    usual: int
    most: int

    def __post_init__(self) -> None:
        if not 1 <= self.least <= self.usual <= self.most <= MAX_RAYS:
            raise ConfigError(
                f"rays of an engine: got min {self.least}, opt {self.usual}, max {self.most}, "
                f"expected 1 <= min <= opt <= max <= {MAX_RAYS}"
            )

    @classmethod
    def for_calls(cls, rays_per_call: int) -> Self:
        """From 1 ray to four times `rays_per_call`."""
        return cls(least=1, usual=rays_per_call, most=min(_LARGEST_OVER_USUAL * rays_per_call, MAX_RAYS))
