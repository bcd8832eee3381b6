"""COLMAP's text files, as COLMAP and other programs write them. What is not one raises ValueError."""

from collections.abc import Iterator
from pathlib import Path

from neurocity.data.colmap_records import PARAMETERS, ColmapCamera, ColmapImage, camera_of
from neurocity.pose_files.text import read_text


class Lines:
    """Lines of a text file without comments, with the number of the last one that was read."""

    def __init__(self, path: Path) -> None:
        self._numbered = enumerate(read_text(path).split("\n"), start=1)
        self.number = 0

    def __iter__(self) -> Iterator[str]:
        """All lines but comments, stripped; those without text are empty."""
        for number, line in self._numbered:
            self.number = number
            if not line.lstrip().startswith("#"):
                yield line.strip()


def read_cameras(lines: Lines) -> Iterator[tuple[int, ColmapCamera]]:
    """Cameras of `cameras.txt` with their ids."""
    for line in filter(None, lines):
        words = line.split()
        if len(words) < 4:
            raise ValueError(f"{line!r}, expected CAMERA_ID MODEL WIDTH HEIGHT PARAMS[]")
        camera_id, model, *numbers = words
        if model.upper() not in PARAMETERS:
            raise ValueError(f"camera {camera_id} has the unknown model {model}")
        width, height, *values = map(float, numbers)
        if not (width.is_integer() and height.is_integer()):
            raise ValueError(f"camera {camera_id} is {width}x{height} pixels, expected whole numbers")
        yield int(camera_id), camera_of(model.upper(), int(width), int(height), values)


def read_images(lines: Lines) -> Iterator[ColmapImage]:
    """Images of `images.txt`. The line of keypoints after each may be empty, or left out altogether."""
    after_image = False
    for line in lines:
        if not line or (after_image and _is_keypoints(line)):
            after_image = False
            continue
        words = line.split(maxsplit=9)
        if len(words) < 10:
            raise ValueError(f"{line!r:.80}, expected IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME")
        qw, qx, qy, qz, tx, ty, tz = map(float, words[1:8])
        yield ColmapImage(words[9], int(words[8]), (qw, qx, qy, qz), (tx, ty, tz))
        after_image = True


def read_points(lines: Lines) -> Iterator[tuple[float, float, float]]:
    """Positions of `points3D.txt`."""
    for line in filter(None, lines):
        words = line.split(maxsplit=4)
        if len(words) < 4:
            raise ValueError(f"{line!r:.80}, expected POINT3D_ID X Y Z R G B ERROR TRACK[]")
        yield float(words[1]), float(words[2]), float(words[3])


def _is_keypoints(line: str) -> bool:
    """Whether a line has triples X Y POINT3D_ID; that of an image ends with a name."""
    words = line.split()
    return len(words) % 3 == 0 and words[-1].lstrip("-").isdigit()
