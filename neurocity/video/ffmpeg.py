"""Films that ffmpeg encodes, the program of the package imageio-ffmpeg: frames go through a pipe.

Colours: frames are sRGB in full range. They become Y'CbCr by BT.709's matrix in limited range, and the file
says so; without that, players guess a matrix by the picture's size, and greens and reds shift.
"""

import contextlib
import subprocess
import tempfile
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from neurocity.errors import MissingDependencyError, VideoError
from neurocity.light import Bytes
from neurocity.resources import available_processors

DEFAULT_QUALITY = 65

_STDERR_SHOWN = 2000
"""Of what ffmpeg says, the last characters, which an error repeats."""

_FILTERS = (
    "scale=in_range=full:out_range=limited:out_color_matrix=bt709:flags=bicubic+accurate_rnd+full_chroma_int",
    "format=yuv420p",
    "setparams=range=limited:colorspace=bt709:color_primaries=bt709:color_trc=bt709",
)


@dataclass(frozen=True)
class Codec:
    """How ffmpeg writes one kind of file.

    worst: the encoder's constant rate factor at quality 0.
    """

    container: str
    options: tuple[str, ...]
    worst: int

    def rate_factor(self, quality: int) -> int:
        """The constant rate factor of a quality from 1 to 100: not 0, a lossless H.264 that few can play."""
        return max(round(self.worst * (100 - quality) / 100), 1)


CODECS = {
    ".mp4": Codec("mp4", ("-c:v", "libx264", "-preset", "medium", "-movflags", "+faststart"), 51),
    ".webm": Codec("webm", ("-c:v", "libvpx-vp9", "-b:v", "0", "-row-mt", "1", "-cpu-used", "4"), 63),
}
"""By suffix. faststart: a browser begins to play before it has all of the file."""


class FFmpegWriter:
    """A film in a process of ffmpeg."""

    def __init__(
        self,
        path: Path,
        codec: Codec,
        width: int,
        height: int,
        frames_per_second: float,
        quality: int | None,
    ) -> None:
        """Starts it. Raises MissingDependencyError where there is no ffmpeg."""
        self._odd = (height % 2, width % 2)
        size = f"{width + self._odd[1]}x{height + self._odd[0]}"
        rate = str(Fraction(frames_per_second).limit_denominator(10_000))
        command = [
            *(program(), "-hide_banner", "-loglevel", "error", "-nostdin", "-y"),
            *("-f", "rawvideo", "-pix_fmt", "rgb24", "-video_size", size, "-framerate", rate, "-i", "pipe:0"),
            *("-vf", ",".join(_FILTERS), *codec.options),
            *("-crf", str(codec.rate_factor(DEFAULT_QUALITY if quality is None else quality))),
            *("-threads", str(available_processors()), "-f", codec.container, str(path)),
        ]
        self._said = tempfile.TemporaryFile()  # noqa: SIM115, closed at the end
        # In a session of its own, so that Ctrl-C reaches it through us alone.
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=self._said,
            start_new_session=True,
        )

    def write(self, frame: Bytes) -> None:
        """See `FrameWriter`. Raises VideoError when ffmpeg has ended."""
        rows, columns = self._odd
        if rows or columns:
            frame = np.pad(frame, ((0, rows), (0, columns), (0, 0)), mode="edge")
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(np.ascontiguousarray(frame).data)
        except BrokenPipeError:
            raise self._failure() from None

    def finish(self) -> None:
        """See `FrameWriter`."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.close()
        except BrokenPipeError:
            raise self._failure() from None
        if self._process.wait() != 0:
            raise self._failure()
        self._said.close()

    def abandon(self) -> None:
        """See `FrameWriter`."""
        assert self._process.stdin is not None
        self._process.kill()
        self._process.wait()
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._said.close()

    def _failure(self) -> VideoError:
        code = self._process.wait()
        self._said.seek(0)
        said = self._said.read().decode(errors="replace").strip()
        return VideoError(f"ffmpeg ended with {code}: {said[-_STDERR_SHOWN:] or 'it did not say why'}")


def program() -> str:
    """The path of ffmpeg; raises MissingDependencyError where there is none."""
    try:
        import imageio_ffmpeg  # noqa: PLC0415, of the extra

        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except (ImportError, RuntimeError) as error:
        raise MissingDependencyError(
            f"{', '.join(CODECS)} need ffmpeg ({error}): pip install 'neurocity[video]'; PNG pictures (.zip, "
            "or a folder's name without suffix) do not"
        ) from None
