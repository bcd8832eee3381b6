"""What a picture costs, from what others took: seconds of the engine for its tiles, and of encoding it."""

import math
from collections.abc import Callable

from neurocity.contract import SceneManifest
from neurocity.pictures.options import RenderOptions

TILE_SECONDS = 0.05
"""How long the rays of one tile take the engine, about: a small picture waits for one tile of a large one.
With 0.01 a picture of 256x256 by the kernels, 23 ms, took 2 ms more."""

SHARED_TILE_SECONDS = 0.0035
"""Likewise of pictures that give way to other clients (`Admission.gives_way`): these wait for such a tile
before each of their own. With 0.005, and a quarter in place of the sixth below, one connection beside twenty
of another client waited 1.5 times as long as alone (p95), and with these 1.35 times; the twenty had a third
more pictures."""

UNKNOWN_SECONDS_PER_PIXEL = 1e-6
"""Of a scene whose artefact was never measured, until its first tile."""

LEAST_TILE_PIXELS = 4096
"""Smaller tiles cost speed: of ONNX Runtime 2 % at half of this, 9 % at a quarter."""

CALL_SHARE, SHARED_CALL_SHARE = 2, 6
"""Nor is a tile smaller than this part of the manifest's `rays_per_call`, the size that was measured best:
compiled kernels lose about 5 % at a quarter of it, and 25 % at an eighth."""

MOST_TILE_PIXELS = 2**20

WEIGHT = 0.2
"""Of a new tile in the moving averages."""

ENCODING_SECONDS_PER_PIXEL = {"png": 4e-8, "jpeg": 1e-8, "webp": 1e-7, "npy": 5e-9, "exr": 1e-7}
"""Until pictures were encoded."""

NORMAL_SECONDS_PER_PIXEL = 2e-7
"""Likewise those that are computed from depth, whatever their format is."""

USUAL_SECONDS = 60.0
"""How long another speed must last to be taken for the usual one, about."""

OTHER_SPEED = 1.5
"""Of two usual speeds that are not the same, the quotient at least."""

FRESH_SECONDS = 60.0
"""How long a measured time is believed so far that a picture is refused because of it."""


class SceneCost:
    """Moving averages of one scene on one engine. Begins with the speed in the manifest, where there is one.

    Whole tiles tell the time of a pixel, in which that of a call is spread out. Smaller pictures tell what
    they take above that, which is the time of a call. One line through both would go astray: on a busy
    machine, small pictures would make large ones dear.

    least_tile_pixels: of a tile that costs little speed.
    """

    def __init__(self, manifest: SceneManifest, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.least_tile_pixels = max(LEAST_TILE_PIXELS, manifest.rays_per_call // CALL_SHARE)
        self._least_shared = max(LEAST_TILE_PIXELS, manifest.rays_per_call // SHARED_CALL_SHARE)
        speed = _profiled_speed(manifest)
        self._seconds_per_pixel = 1.0 / speed if speed else UNKNOWN_SECONDS_PER_PIXEL
        self._usual_seconds_per_pixel = self._class_seconds_per_pixel = self._seconds_per_pixel
        self._seconds_per_call = 0.0
        self._known = speed is not None
        self._measured_at = -math.inf

    def seconds(self, pixels: int) -> float:
        """What a picture or a tile of so many pixels takes."""
        of_pixels = pixels * self._seconds_per_pixel
        return of_pixels if self._is_whole(pixels) else of_pixels + self._seconds_per_call

    def pixels_per_second(self) -> float | None:
        """How fast tiles were lately, or else by the manifest; None while neither is known."""
        return 1.0 / self._seconds_per_pixel if self._known else None

    def is_fresh(self) -> bool:
        """Whether a whole tile was measured lately. Else `seconds` is a guess; nobody is refused for it."""
        return self._clock() - self._measured_at < FRESH_SECONDS

    def tile_pixels(self, *, shared: bool = False) -> int:
        """Pixels that take `TILE_SECONDS`, within what is neither too slow nor too large.

        shared: whether others wait for it, so that `SHARED_TILE_SECONDS` are better.
        """
        wanted = (SHARED_TILE_SECONDS if shared else TILE_SECONDS) / self._seconds_per_pixel
        least = self._least_shared if shared else self.least_tile_pixels
        return round(min(MOST_TILE_PIXELS, max(least, wanted)))

    def usual_tile_pixels(self) -> int:
        """As `tile_pixels`, by the speed of the last minute or so, and only where that is another one.

        Pictures are in classes by it. A busy moment, or a time just at the border of two, must not put equal
        ones into both, with a budget each.
        """
        wanted = TILE_SECONDS / self._class_seconds_per_pixel
        return round(min(MOST_TILE_PIXELS, max(self.least_tile_pixels, wanted)))

    def measured(self, pixels: int, seconds: float) -> None:
        """Take the time that a tile took into account."""
        if not self._is_whole(pixels):
            rest = max(0.0, seconds - pixels * self._seconds_per_pixel)
            self._seconds_per_call += WEIGHT * (rest - self._seconds_per_call)
            return
        weight = WEIGHT if self._known else 1.0
        self._seconds_per_pixel += weight * (seconds / pixels - self._seconds_per_pixel)
        self._known = True
        now = self._clock()
        usual = -math.expm1((self._measured_at - now) / USUAL_SECONDS)
        if self._measured_at > -math.inf:
            usual = min(usual, WEIGHT)  # one tile after a pause is not all that there is to know
        self._usual_seconds_per_pixel += usual * (seconds / pixels - self._usual_seconds_per_pixel)
        change = self._usual_seconds_per_pixel / self._class_seconds_per_pixel
        if not 1 / OTHER_SPEED < change < OTHER_SPEED:
            self._class_seconds_per_pixel = self._usual_seconds_per_pixel
        self._measured_at = now

    def _is_whole(self, pixels: int) -> bool:
        return 2 * pixels >= self.least_tile_pixels


class EncodingCost:
    """Moving averages of the seconds that pictures take to be encoded, by format; normals by themselves."""

    def __init__(self) -> None:
        self._seconds_per_pixel: dict[str, float] = {
            **ENCODING_SECONDS_PER_PIXEL,
            "normal": NORMAL_SECONDS_PER_PIXEL,
        }

    def seconds(self, options: RenderOptions, pixels: int) -> float:
        """What a picture of so many pixels takes on one processor."""
        return pixels * self._seconds_per_pixel[_kind(options)]

    def measured(self, options: RenderOptions, pixels: int, seconds: float) -> None:
        """Take the time of a picture into account, unless it is so small that it tells the time of a call."""
        if pixels >= LEAST_TILE_PIXELS:
            known = self._seconds_per_pixel[_kind(options)]
            self._seconds_per_pixel[_kind(options)] += WEIGHT * (seconds / pixels - known)


def _kind(options: RenderOptions) -> str:
    return options.output if options.output == "normal" else options.format


def _profiled_speed(manifest: SceneManifest) -> float | None:
    """Rays a second that the export measured, perhaps on another machine; None where it did not."""
    speed = manifest.profile.get("rays_per_second")
    usable = isinstance(speed, int | float) and math.isfinite(speed) and speed > 0
    return float(speed) if usable else None  # type: ignore[arg-type]
