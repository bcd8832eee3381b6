"""The sky: a vertical gradient, haze around the sun and a few broad clouds. Linear RGB radiance."""

import math
from dataclasses import dataclass

import numpy as np

from neurocity.data.city.noise import Floats, mix, value_noise
from neurocity.data.city.styles import color

ZENITH = np.array(color("#2f63b4"), dtype=np.float32)
HORIZON = np.array(color("#b3cae0"), dtype=np.float32) * np.float32(1.15)
CLOUD = np.array(color("#f4f3f1"), dtype=np.float32) * np.float32(1.25)
HAZE = np.array(color("#ffe6bd"), dtype=np.float32) * np.float32(1.35)


@dataclass(frozen=True, slots=True)
class Sky:
    """A sky with its sun. sun: [3] unit direction towards the sun; salt: seed of the clouds."""

    sun: Floats
    salt: int

    @classmethod
    def from_degrees(cls, azimuth: float, elevation: float, salt: int) -> "Sky":
        """A sky whose sun stands at these angles (azimuth counter-clockwise from +x)."""
        a, e = math.radians(azimuth), math.radians(elevation)
        sun = [math.cos(e) * math.cos(a), math.cos(e) * math.sin(a), math.sin(e)]
        return cls(np.array(sun, dtype=np.float32), salt)

    def horizon(self, directions: Floats) -> Floats:
        """[n, 3] radiance at the horizon under each of the directions [n, 3]."""
        level = directions[:, :2]
        length = np.maximum(np.linalg.norm(level, axis=1), np.float32(1e-6))
        sun_level = self.sun[:2] / max(float(np.linalg.norm(self.sun[:2])), 1e-6)
        facing = np.clip(level @ sun_level / length, 0, 1)
        return mix(np.broadcast_to(HORIZON, directions.shape), HAZE, 0.35 * facing**3)

    def radiance(self, directions: Floats) -> Floats:
        """[n, 3] radiance from the directions [n, 3]; below the horizon it is that of the horizon."""
        height = np.clip(directions[:, 2], 0, 1)
        gradient = mix(self.horizon(directions), ZENITH, 1 - np.exp(-3.0 * height))
        gradient = mix(gradient, CLOUD, self._clouds(directions, height))
        glow = np.clip(directions @ self.sun, 0, 1)
        return gradient + (0.25 * glow**24 + 0.9 * glow**400)[:, None] * HAZE

    def _clouds(self, directions: Floats, height: Floats) -> Floats:
        """Opacity of the clouds, on a plane overhead, thinned out towards the horizon."""
        scale = np.float32(1.1) / (height + np.float32(0.18))
        x, y = directions[:, 0] * scale, directions[:, 1] * scale
        density = sum(
            value_noise(x * 2**octave, y * 2**octave, salt=self.salt + octave) * 0.5 ** (octave + 1)
            for octave in range(4)
        )
        cover = np.clip((density - np.float32(0.47)) * 4, 0, 1)
        return 0.8 * cover * np.clip(height * 7 - np.float32(0.3), 0, 1)
