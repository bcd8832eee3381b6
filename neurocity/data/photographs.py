"""From the names that a dataset has for its images to frames: files, sizes, masks, and what is missing."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from neurocity.cameras import Camera
from neurocity.data.files import Found
from neurocity.data.images import ImageInfo
from neurocity.data.names import is_absolute, quoted
from neurocity.data.reading import Reading
from neurocity.data.scene import Frame, naming
from neurocity.data.sizes import fit_to_image
from neurocity.errors import DataError, ReducedImagesError
from neurocity.pose_files.text import printable


def find_images(
    reading: Reading, names: Sequence[str], bases: Sequence[Path], *, label: str, optional: bool = False
) -> dict[str, Found]:
    """The files of images by the names that the dataset has for them, relative to one of the folders `bases`.

    Where none is there and `optional`, the answer is empty. Images that are missing are left out, and that is
    remarked, where the reading skips them; otherwise they are an error that counts them. `label` is how
    errors name a frame, before its own name.
    Raises DataError, too, when a name could mean several files, or two names mean one file; and
    ReducedImagesError when images are there in `images_N/` alone and `downscale` is no multiple of N.
    """
    files = reading.files
    found = _search(names, label, lambda name: files.find(bases, name, downscale=reading.downscale))
    if not found and not any(files.reduced(bases, name) for name in names):
        found = _search(names, label, lambda name: files.find_elsewhere(bases, name))
    for name, file in found.items():
        _remark_on(reading, name, file, bases)
    missing = [name for name in names if name not in found]
    skips = reading.missing == "skip" and bool(found)
    if missing and not skips:
        _refuse_reduced(reading, missing, bases, label)
        if not (optional and not found):
            raise DataError(_missing(reading, missing, len(names), bases, label))
    elif missing:
        reading.remark(
            f"{label.rpartition(': ')[0]}: {len(missing)} of {len(names)} frames are left out, their images "
            f"are missing: {quoted(missing)}"
        )
    return found


def make_frame(
    reading: Reading,
    found: Found,
    camera: Camera,
    image: ImageInfo,
    *,
    stated_by: str,
    mask_path: Path | None = None,
) -> Frame:
    """A frame of an image file; `camera` is of any size of one ratio with the file's.

    `stated_by` names who states the camera's size, for errors ("its camera 4 has"). Beside the image, a file
    `dynamic_mask_<its name>` is a mask. Raises DataError on another ratio, CameraError on too large a
    downscale.
    """
    fitted = fit_to_image(camera, image, found.path, stated_by)
    if fitted is not camera and found.reduction == 1:
        reading.count(
            "intrinsics are scaled to images of another size than their cameras",
            f"{found.path.name} is {image.width}x{image.height} pixels, {stated_by} "
            f"{camera.width}x{camera.height}",
        )
    factor = reading.downscale // found.reduction
    return Frame(
        name=_frame_name(found, reading.root),
        image_path=found.path,
        camera=fitted.downscaled(factor),
        has_alpha=image.has_alpha,
        downscale=factor,
        mask_path=mask_path,
        dynamic_mask_path=_dynamic_mask(found.path, reading),
    )


def _frame_name(found: Found, root: Path) -> str:
    """The name that the dataset has for an image; of an absolute one what is below the dataset's folder."""
    if is_absolute(found.name) and found.path.is_relative_to(root):
        return printable(found.path.relative_to(root).as_posix())
    return printable(found.name.removeprefix("./"))


def _dynamic_mask(image: Path, reading: Reading) -> Path | None:
    """`dynamic_mask_NAME` beside an image, or beside the one that it is reduced from."""
    folder = image.parent
    full = folder.with_name(re.sub(r"_\d+$", "", folder.name)) if folder.name else folder
    for place in dict.fromkeys((folder, full)):
        if path := reading.files.find_in(place, f"dynamic_mask_{image.stem}.png"):
            return path
    return None


def _search(names: Sequence[str], label: str, find: Callable[[str], Found | None]) -> dict[str, Found]:
    """What `find` finds, by name. Raises DataError when it does for one name what it did for another."""
    found: dict[str, Found] = {}
    names_of: dict[Path, str] = {}
    for name in names:
        with naming(f"{label} {printable(name)!r}"):
            file = find(name)
            if file is None:
                continue
            if file.path in names_of:
                raise DataError(
                    f"its image is {file.path}, and so is that of {printable(names_of[file.path])!r}; "
                    "a file is the image of one frame"
                )
        names_of[file.path] = name
        found[name] = file
    return found


def _remark_on(reading: Reading, name: str, found: Found, bases: Sequence[Path]) -> None:
    example = f"{printable(name)!r} is {found.path.parent.name}/{printable(found.path.name)}"
    named = [base / found.name for base in bases]
    if found.reduction > 1:
        reading.remark(
            f"images are read from {found.path.parent.name}/, {found.reduction} times smaller than those "
            "that the dataset names"
        )
    elif found.path in named:
        if found.name not in (name, name.replace("\\", "/")):
            reading.count("names of images are not UTF-8, or have percent signs", example)
    elif found.path.with_suffix("") not in named:  # a name without extension is usual
        reading.count("images lie elsewhere, or have other extensions, than the dataset says", example)


def _refuse_reduced(reading: Reading, missing: list[str], bases: Sequence[Path], label: str) -> None:
    reduced = ((name, reading.files.reduced(bases, name)) for name in missing)
    name, found = next(((name, found) for name, found in reduced if found), ("", {}))
    if not found:
        return
    folders = " and ".join(str(found[factor].path.parent) for factor in sorted(found))
    options = " or ".join(f"--downscale {factor}" for factor in sorted(found))
    raise ReducedImagesError(
        f"{label} {printable(name)!r}: {bases[0] / printable(name)}: image is missing, but it is in "
        f"{folders}; with {options} (downscale={min(found)} in Python) it is read from there, got "
        f"--downscale {reading.downscale}",
        downscale=min(found),
    )


def _missing(reading: Reading, missing: list[str], total: int, bases: Sequence[Path], label: str) -> str:
    first = missing[0]
    others = f", and so are those of {quoted(missing[1:], 2)}" if missing[1:] else ""
    return (
        f"{label} {printable(first)!r}: {bases[0] / printable(first)}: image is missing{others} "
        f"({len(missing)} of {total}); {reading.files.neighbours(bases, first)}"
        + ("; --missing skip leaves such frames out" if len(missing) < total else "")
    )
