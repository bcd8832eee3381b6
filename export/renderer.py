"""What renders: an artefact that is open in some runtime, and how many rays it takes in one call."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol, Self, runtime_checkable

import numpy as np

from neurocity.cameras import Rays
from neurocity.contract import View
from neurocity.errors import ConfigError
from neurocity.kernels.scene import KernelScene, render_rays
from neurocity.light import Float32, Light

Renderer = Callable[[Rays], Light]
"""R rays, with radii where the graph takes them -> their light."""


@runtime_checkable
class Painter(Protocol):
    """What draws pictures of views alone, and answers no other rays. by: what that is, for people."""

    by: str

    def paint(self, view: View) -> Light:
        """The light of a view's pixels, row by row."""


Picture = tuple[Float32, Float32]
"""Light without background, rgb [R, 3], and opacity [R], of a view's pixels row by row."""


class Drawn(NamedTuple):
    """Pictures of views. by: what drew them. instead_of: what could not, and why; or empty."""

    by: str
    instead_of: str
    pictures: list[Picture]


MAX_RAYS = 1 << 20
"""The most rays of one call: the upper bound of the dynamic axis that graphs are recorded with."""
DEFAULT_RAYS_PER_CALL = 4096
"""What is recommended as the rays of one call when nothing was measured."""
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


def chunks(rays: Rays, size: int) -> Iterator[Rays]:
    """The rays in their order, at most `size` at a time."""
    return (rays[start : start + size] for start in range(0, len(rays), size))


def render_in_chunks(render: Renderer, rays: Rays, size: int) -> Light:
    """The light of all rays, rendered at most `size` at a time."""
    parts = [render(chunk) for chunk in chunks(rays, size)]
    # Some runtimes give transposed arrays, which files would keep so.
    return Light(*(np.ascontiguousarray(np.concatenate(part)) for part in zip(*parts, strict=True)))


def kernel_renderer(scene: KernelScene) -> Renderer:
    """The compiled kernels with a scene."""

    def render(rays: Rays) -> Light:
        light = render_rays(scene, rays)
        assert light is not None, "nothing stops it"
        return light

    return render
