"""Cameras for images of another size than that for which they were calibrated."""

from pathlib import Path

from neurocity.cameras import Camera
from neurocity.data.images import ImageInfo, exif_orientation
from neurocity.errors import DataError

Size = tuple[int, int]


def one_ratio(size: Size, other: Size) -> bool:
    """Whether width and height of `size` are those of `other` times one number, rounded in one way."""
    if size == other:
        return True
    # Rounded to the nearest (halves to the even one), down, and up: the exact value lies between these.
    nearest = [(side - _half(side), side + _half(side)) for side in size]
    down, up = [(side, side + 1) for side in size], [(side - 1, side) for side in size]
    for exact in (nearest, down, up):
        low = max(least / of for (least, _), of in zip(exact, other, strict=True))
        high = min(most / of for (_, most), of in zip(exact, other, strict=True))
        if low < high:
            return True
    return False


def _half(side: int) -> float:
    return 0.5 + 1e-9 if side % 2 == 0 else 0.5 - 1e-6


def fit_to_image(camera: Camera, image: ImageInfo, path: Path, stated_by: str) -> Camera:
    """`camera` for its image file, which may be smaller or larger: intrinsics are scaled along each axis.

    Raises DataError when width and height differ by different ratios; `stated_by` says whose size it is.
    """
    size, stated = (image.width, image.height), (camera.width, camera.height)
    if size == stated:
        return camera
    if one_ratio(size, stated) or one_ratio(stated, size):
        return camera.resized(*size)
    message = f"{path} is {size[0]}x{size[1]} pixels, {stated_by} {stated[0]}x{stated[1]}"
    orientation = exif_orientation(path)
    if orientation >= 5 and (one_ratio(size[::-1], stated) or one_ratio(stated, size[::-1])):
        raise DataError(
            f"{message}: its EXIF orientation ({orientation}) turns it by a quarter, and the poses are of "
            "the turned image; turn the pixels themselves (magick mogrify -auto-orient)"
        )
    raise DataError(
        f"{message}: width and height differ by different ratios, so the image was cropped, turned or "
        "squashed; use the images that the poses were made from, or sizes of one ratio"
    )
