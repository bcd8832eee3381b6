"""A film that is written frame by frame, and is there whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import numpy as np

from neurocity.errors import ConfigError, MissingDependencyError, VideoError
from neurocity.light import Bytes
from neurocity.publishing import published
from neurocity.video.ffmpeg import CODECS, FFmpegWriter, program
from neurocity.video.png_frames import FolderWriter, ZipWriter

SUFFIXES = (*CODECS, ".zip")
"""Of a film's file; a name without suffix is a folder of PNG pictures."""

MAX_SIDE = 16384
"""Pixels of a side: the most that VP9 has; H.264 has as many as its level allows."""


class FrameWriter(Protocol):
    """What writes one kind of film into a file or folder."""

    def write(self, frame: Bytes) -> None:
        """The next frame [H, W, 3]."""

    def finish(self) -> None:
        """End the file. Raises VideoError, or OSError when it cannot be written."""

    def abandon(self) -> None:
        """End in the middle; what is written is worth nothing, and nothing is raised."""


class Film:
    """A film that is open; frames are checked and counted."""

    def __init__(self, path: Path, writer: FrameWriter, width: int, height: int) -> None:
        self._path = path
        self._writer = writer
        self._shape = (height, width, 3)
        self.frames = 0

    def write(self, frame: Bytes) -> None:
        """Add a frame, uint8 [H, W, 3], sRGB, or gray [H, W]. Blocks as long as the encoder takes.

        Raises VideoError on another frame, and when encoding fails, with what the encoder said.
        """
        if frame.ndim == 2:
            frame = np.broadcast_to(frame[..., None], (*frame.shape, 3))
        if frame.dtype != np.uint8 or frame.shape != self._shape:
            raise VideoError(
                f"frame {self.frames}: got {frame.dtype} {list(frame.shape)}, "
                f"expected uint8 {list(self._shape)}"
            )
        with _writing(self._path):
            self._writer.write(frame)
        self.frames += 1


@contextmanager
def open_film(
    path: Path, width: int, height: int, frames_per_second: float, quality: int | None = None
) -> Iterator[Film]:
    """A film to write frames into; at the end of the block `path` is there, in place of what was before.

    By the suffix: .mp4 (H.264) and .webm (VP9), as 8-bit 4:2:0 in BT.709's limited range, which every player
    takes; .zip, an archive of PNG pictures; without suffix, a folder of PNG pictures, which must not exist or
    be empty. .mp4 and .webm of odd width or height repeat the last column or row, as 4:2:0 has even sizes.

    quality: 1 to 100 of .mp4 and .webm, whose bytes it decides; None stands for `ffmpeg.DEFAULT_QUALITY`.
    Nothing is left of a film that ends in an exception.
    Raises as `check_film`, and VideoError when encoding fails, when the file cannot be written, and when no
    frame came.
    """
    suffix = check_film(path, width, height, frames_per_second, quality)
    with published(path, folder=not suffix) as partial:
        writer: FrameWriter
        with _writing(path):
            if suffix in CODECS:
                writer = FFmpegWriter(partial, CODECS[suffix], width, height, frames_per_second, quality)
            else:
                writer = ZipWriter(partial) if suffix else FolderWriter(partial)
        film = Film(path, writer, width, height)
        try:
            yield film
            if not film.frames:
                raise VideoError(f"{path}: has no frame")
            with _writing(path):
                writer.finish()
        except BaseException:
            writer.abandon()
            raise


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise VideoError(f"{path}: cannot be written ({error.strerror or error})") from error


def available_formats() -> tuple[str, ...]:
    """The formats of films that can be written into a file here: suffixes without the dot. May block."""
    try:
        program()
    except MissingDependencyError:
        return tuple(suffix[1:] for suffix in SUFFIXES if suffix not in CODECS)
    return tuple(suffix[1:] for suffix in SUFFIXES)


def check_film(
    path: Path, width: int, height: int, frames_per_second: float, quality: int | None = None
) -> str:
    """The suffix, in lower case, of a film that can be opened.

    Raises ConfigError on a suffix, size, rate or quality that no film has, and where `path` is not to be
    written; MissingDependencyError without ffmpeg, where it is needed.
    """
    suffix = path.suffix.lower()
    if suffix not in (*SUFFIXES, ""):
        raise ConfigError(
            f"film: got {path}, expected a name that ends in {', '.join(SUFFIXES)}, or a folder's"
        )
    if not (1 <= width <= MAX_SIDE and 1 <= height <= MAX_SIDE):
        raise ConfigError(f"film: got {width}x{height} pixels, expected sides of 1 to {MAX_SIDE}")
    if not 0.0 < frames_per_second < np.inf:
        raise ConfigError(f"film: got {frames_per_second!r} frames per second, expected a positive number")
    if quality is not None and suffix not in CODECS:
        raise ConfigError(f"quality: is for {' and '.join(CODECS)}; PNG pictures lose nothing")
    if quality is not None and not 1 <= quality <= 100:
        raise ConfigError(f"quality: got {quality}, expected 1 to 100")
    if suffix in CODECS:
        program()
    if not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise ConfigError(f"film: got {path}, but {path.parent} is not a folder that can be written to")
    if path.is_dir() and (suffix or any(path.iterdir())):
        raise ConfigError(f"film: got {path}, which is a folder{'' if suffix else ' with something in it'}")
    if not suffix and path.is_file():
        raise ConfigError(f"film: got {path}, which is a file, expected a folder that is not there, or empty")
    return suffix
