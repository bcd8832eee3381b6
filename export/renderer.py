"""What renders: an artefact that is open in some runtime, seen by those who compare and measure it."""

from collections.abc import Callable, Iterator

import numpy as np

from neurocity.cameras import Rays
from neurocity.light import Light

Renderer = Callable[[Rays], Light]
"""R rays, with radii where the graph takes them -> their light."""

MAX_RAYS = 1 << 20
"""The most rays of one call: the upper bound of the dynamic axis that graphs are recorded with."""
DEFAULT_RAYS_PER_CALL = 4096
"""What is recommended as the rays of one call when nothing was measured."""


def chunks(rays: Rays, size: int) -> Iterator[Rays]:
    """The rays in their order, at most `size` at a time."""
    return (rays[start : start + size] for start in range(0, len(rays), size))


def render_in_chunks(render: Renderer, rays: Rays, size: int) -> Light:
    """The light of all rays, rendered at most `size` at a time."""
    parts = [render(chunk) for chunk in chunks(rays, size)]
    return Light(*(np.concatenate(part) for part in zip(*parts, strict=True)))
