"""What everything in a city is built with: a mesh, a style table and a source of chance."""

from dataclasses import dataclass, field

import numpy as np

from neurocity.data.city.mesh import MeshBuilder
from neurocity.data.city.styles import Color, StyleTable, color


@dataclass(frozen=True, slots=True)
class Construction:
    """A city under construction; `with_chance` gives a part of it its own random numbers."""

    rng: np.random.Generator
    mesh: MeshBuilder = field(default_factory=MeshBuilder)
    styles: StyleTable = field(default_factory=StyleTable)

    def with_chance(self, rng: np.random.Generator) -> "Construction":
        """The same mesh and styles, other random numbers."""
        return Construction(rng, self.mesh, self.styles)

    def pick(self, colors: tuple[str, ...]) -> Color:
        """One of the colours, a little lighter or darker."""
        return color(colors[self.rng.integers(len(colors))], self.uniform(0.88, 1.12))

    def uniform(self, low: float, high: float) -> float:
        """A random number between low and high."""
        return float(self.rng.uniform(low, high))
