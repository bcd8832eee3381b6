"""What renders: an artefact that is open in some runtime, seen by those who compare and measure it."""

from collections.abc import Callable

from neurocity.cameras import Rays
from neurocity.light import Light

Renderer = Callable[[Rays], Light]
"""R rays, with radii where the graph takes them -> their light."""
