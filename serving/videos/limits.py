"""What films may take, and what is said when there is no room."""

import math
from dataclasses import dataclass

from neurocity.errors import NeuroCityError
from serving.render.limits import RequestError

MOST_FRAMES = 36_000
"""Of one film: twenty minutes at 30 a second. A camera of each is in memory while it is rendered."""

KEPT_PER_CLIENT = 100
"""Ended films of one client that are kept; a further one takes the place of the oldest."""


MOST_KEPT = 10_000
"""Films of all clients that are kept, so that their records take a few megabytes of memory at most."""


class VideosOffError(NeuroCityError):
    """This gateway has no folder for films."""


class VideoNotFoundError(NeuroCityError):
    """There is no film of that id, any more or for this key."""


class VideoNotReadyError(NeuroCityError):
    """A film is asked for that is not made."""


class VideosFullError(NeuroCityError):
    """The films that are kept take all the room that they may."""


class SceneChangedError(NeuroCityError):
    """The version of the scene that a film shows is not served any more."""


class InterruptedTooOftenError(NeuroCityError):
    """The process ended again and again while it made a film, which may be why."""


class TooManyVideosError(NeuroCityError):
    """A client has as many films waiting as it may.

    retry_after_seconds: when one of them may be done, about.
    """

    def __init__(self, message: str, retry_after_seconds: float) -> None:
        super().__init__(message)
        self.retry_after_seconds = max(1, math.ceil(retry_after_seconds))


@dataclass(frozen=True, kw_only=True)
class VideoLimits:
    """What films may take.

    pixels: frames x width x height of one. waiting, waiting_per_client: films that are not done. bytes: of
    all that is kept on disk. seconds: that ended films are kept.
    """

    pixels: int
    waiting: int
    waiting_per_client: int
    bytes: int
    seconds: float

    def most_frames(self) -> int:
        """Frames that a path may have, whatever their size."""
        return min(MOST_FRAMES, self.pixels)

    def check(self, frames: int, width: int, height: int) -> None:
        """Raise RequestError when a film has too many pixels."""
        if frames * width * height > self.pixels:
            raise RequestError(
                f"{frames} frames of {width} x {height} are {frames * width * height} pixels, the limit is "
                f"{self.pixels}: ask for fewer frames or a smaller size",
                "camera_path",
            )
