"""What a picture costs: seconds of the engine, from the measured times of tiles."""

import math
from collections.abc import Callable

from neurocity.contract import SceneManifest

TILE_SECONDS = 0.01
"""How long the rays of one tile take the engine, about: a small picture waits for one tile of a large one."""

UNKNOWN_SECONDS_PER_PIXEL = 1e-6
"""Of a scene whose artefact was never measured, until its first tile."""

LEAST_TILE_PIXELS = 4096
"""Smaller tiles cost speed: of ONNX Runtime 2 % at half of this, 9 % at a quarter."""

CALL_SHARE = 4
"""Nor is a tile smaller than this part of the manifest's `rays_per_call`, the size that was measured best:
compiled kernels lose 5 % there, and 25 % at half of it."""

MOST_TILE_PIXELS = 2**20

WEIGHT = 0.2
"""Of a new tile in the moving averages."""

FRESH_SECONDS = 60.0
"""How long a measured time is believed so far that a picture is refused because of it."""


class SceneCost:
    """Moving averages of one scene on one engine. Begins with the speed in the manifest, where there is one.

        seconds of a tile = seconds_per_call + pixels * seconds_per_pixel

    Both follow the tiles by normalised least mean squares (Haykin, Adaptive Filter Theory, chapter 7), in
    units in which small tiles tell the first and large ones the second.

    least_tile_pixels: of a tile that loses little speed.
    """

    def __init__(self, manifest: SceneManifest, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.least_tile_pixels = max(LEAST_TILE_PIXELS, manifest.rays_per_call // CALL_SHARE)
        speed = _profiled_speed(manifest)
        self.seconds_per_pixel = 1.0 / speed if speed else UNKNOWN_SECONDS_PER_PIXEL
        self.seconds_per_call = 0.0
        self._known = speed is not None
        self._measured_at = -math.inf

    def seconds(self, pixels: int) -> float:
        """What so many pixels take in tiles, whose number counts too."""
        tiles = max(1, -(-pixels // self.tile_pixels()))
        return tiles * self.seconds_per_call + pixels * self.seconds_per_pixel

    def is_fresh(self) -> bool:
        """Whether a whole tile was measured lately. Else `seconds` is a guess; nobody is refused for it."""
        return self._clock() - self._measured_at < FRESH_SECONDS

    def tile_pixels(self) -> int:
        """Pixels that take `TILE_SECONDS`, within what is neither too slow nor too large."""
        wanted = TILE_SECONDS / self.seconds_per_pixel
        return round(min(MOST_TILE_PIXELS, max(self.least_tile_pixels, wanted)))

    def measured(self, pixels: int, seconds: float) -> None:
        """Take the time that a tile took into account."""
        if 2 * pixels >= self.tile_pixels():
            self._measured_at = self._clock()
        size = pixels / self.least_tile_pixels
        error = seconds - self.seconds_per_call - pixels * self.seconds_per_pixel
        step = (WEIGHT if self._known else 1.0) * error / (1.0 + size * size)
        self.seconds_per_call = max(0.0, self.seconds_per_call + step)
        least = 1e-3 * seconds / pixels  # no correction makes pixels free
        self.seconds_per_pixel = max(least, self.seconds_per_pixel + step * size / self.least_tile_pixels)
        self._known = True


def _profiled_speed(manifest: SceneManifest) -> float | None:
    """Rays a second that the export measured, perhaps on another machine; None where it did not."""
    speed = manifest.profile.get("rays_per_second")
    usable = isinstance(speed, int | float) and math.isfinite(speed) and speed > 0
    return float(speed) if usable else None  # type: ignore[arg-type]
