"""Films decoded again, by ffmpeg, for tests."""

import re
import subprocess
from pathlib import Path

import imageio_ffmpeg
import numpy as np

from neurocity.light import Bytes


def frames_of(path: Path) -> Bytes:
    """All frames [N, H, W, 3] of a film, by the colour tags that it has."""
    width, height = (int(side) for side in re.findall(r", (\d+)x(\d+)[, ]", about(path))[0])
    exactly = "scale=flags=accurate_rnd+full_chroma_int+full_chroma_inp"
    command = ["-v", "error", "-i", path, "-vf", exactly, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    decoded = subprocess.run(
        [imageio_ffmpeg.get_ffmpeg_exe(), *command], capture_output=True, check=True
    ).stdout
    return np.frombuffer(decoded, np.uint8).reshape(-1, height, width, 3)


def about(path: Path) -> str:
    """What ffmpeg says of a file's streams."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-i", path]
    said = subprocess.run(command, capture_output=True, text=True, check=False).stderr
    assert "Stream #0:0" in said, said
    return said
