"""Cameras for images of another size than that for which they were calibrated."""

from pathlib import Path

from neurocity.cameras import Camera
from neurocity.data.images import ImageInfo, exif_orientation
from neurocity.errors import DataError

Size = tuple[int, int]

_ROUNDINGS = ((0.5, 0.5, True), (0.0, 1.0, False), (1.0, 0.0, False))
"""How far below and above a size that was rounded to the nearest, down or up, its exact value may lie.

Last: whether both ends count; halves are rounded either way (to even), so those of `nearest` do.
"""


def one_ratio(size: Size, other: Size) -> bool:
    """Whether width and height of `size` are those of `other` times one number, rounded in one way."""
    if size == other:
        return True
    for below, above, closed in _ROUNDINGS:
        low = max((side - below) / of for side, of in zip(size, other, strict=True))
        high = min((side + above) / of for side, of in zip(size, other, strict=True))
        if low < high or (closed and low <= high * (1.0 + 1e-9)):
            return True
    return False


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
