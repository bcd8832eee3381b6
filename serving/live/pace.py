"""How large the frames of a live view are, by what the last ones took."""

import math

MOVING_SECONDS = 0.07
"""What a frame may take while the camera moves, from its beginning to the client's word that it is drawn."""

TILE_SECONDS = 0.4
"""What a tile of the full picture may take the engine, about, and so the time until something is seen of it.
Each tile is a way to the client and back."""

FEWEST_PIXELS = 64 * 48
FIRST_PIXELS = 160 * 120
"""Of the first frame, of which nothing is known. Smaller ones are made only where they save the gateway time:
a frame of this size is a few kilobytes, and a client that is slow with it is no faster with less."""

GATEWAY_SHARE = 0.25
"""Of `MOVING_SECONDS`: what the gateway needs for a frame that is not made smaller for a slow client."""

MOST_TILES = 64

STEADY = (0.8, 1.25)
"""The size is kept while frames take between these shares of `MOVING_SECONDS`."""

GREATEST_STEP = 2.5
"""The most by which the pixels of a frame change at once."""


def tile_pixels(width: int, height: int, seconds: float) -> int:
    """About the pixels of a tile of a full picture, which takes the engine so many seconds.

    Pictures have 1, 2, 4, ... tiles: those of a view that is looked at again are then often kept ones.
    """
    area = width * height
    wanted = min(seconds / TILE_SECONDS, MOST_TILES, area / FEWEST_PIXELS)
    return area // 2 ** round(math.log2(max(wanted, 1.0)))


class Pace:
    """The sizes of one viewer's frames, in pixels of the image's area.

    seconds_per_pixel: that the gateway needs for them, about.
    """

    def __init__(self, seconds_per_pixel: float) -> None:
        self._moving_pixels: float = FIRST_PIXELS
        self._seconds_per_pixel = seconds_per_pixel

    def moving_size(self, width: int, height: int) -> tuple[int, int]:
        """Width and height of the next frame of a canvas of that size, while the camera moves."""
        factor = min(math.sqrt(self._moving_pixels / (width * height)), 1.0)
        return max(1, round(width * factor)), max(1, round(height * factor))

    def made(self, pixels: int, seconds: float) -> None:
        """Take into account what the gateway needed for a frame."""
        # Small frames tell the time of a call, and little of a pixel.
        weight = 0.5 if pixels >= FIRST_PIXELS else 0.2
        self._seconds_per_pixel += weight * (seconds / pixels - self._seconds_per_pixel)

    def drawn(self, pixels: int, seconds: float) -> None:
        """Take into account what a moving frame took until it was drawn."""
        ratio = MOVING_SECONDS / max(seconds, 1e-6)
        if not STEADY[0] <= ratio <= STEADY[1]:
            change = min(max(ratio, 1 / GREATEST_STEP), GREATEST_STEP)
            worth = GATEWAY_SHARE * MOVING_SECONDS / self._seconds_per_pixel
            self._moving_pixels = max(pixels * change, min(worth, FIRST_PIXELS), FEWEST_PIXELS)
