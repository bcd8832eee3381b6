"""`load_scene`: the one way in, whatever the layout of the dataset."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np

from neurocity.data import blender, colmap, llff, matrixcity, metashape, opensfm, transforms
from neurocity.data.bounds import checked_bounds, estimate_bounds
from neurocity.data.names import quoted
from neurocity.data.origin import checked_origin, choose_origin, relative_to
from neurocity.data.reading import Missing, Reading
from neurocity.data.scene import Capture, Frame, Scene, Splits, hold_out
from neurocity.errors import DataError
from neurocity.world import box_to_scene

_READERS = (matrixcity, blender, transforms, colmap, llff, opensfm, metashape)
"""Layouts in the order in which they are looked for."""

_MASKS_LOOKED_AT = 32


def load_scene(
    path: str | Path,
    *,
    downscale: int = 1,
    missing: Missing = "error",
    bounds: Sequence[float] | None = None,
    unbounded: bool | None = None,
    origin: Sequence[float] | None = None,
) -> Scene:
    """Read the dataset in folder `path`, in one of the layouts of `_READERS`.

    Images are not decoded, but for the first where an alpha channel leaves open whether the scene is bounded,
    and for some masks.

    downscale: whole number by which image sizes are divided.
    missing: `skip` leaves out frames whose images are missing.
    bounds: (x0, y0, z0, x1, y1, z1) in world coordinates, instead of the dataset's own or an estimate.
    unbounded: whether the images show more than the bounds hold, instead of the rule in docs/conventions.md.
    origin: (x, y, z), what is taken off world coordinates, instead of the rule in docs/conventions.md. For a
        model that is there already it is that of its `SceneInfo`.
    What was ignored, guessed or left out is in the scene's `remarks`.
    Raises DataError, naming file and frame, on anything missing, corrupt or inconsistent.
    """
    root = Path(path)
    if not root.is_dir():
        hint = f", {root.parent}" if root.is_file() else ""
        raise DataError(f"{root}: is not a folder, expected the folder of a dataset{hint}")
    if downscale < 1:
        raise DataError(f"downscale is {downscale}, expected a whole number of at least 1")
    if missing not in ("error", "skip"):
        raise DataError(f"missing is {missing!r}, expected 'error' or 'skip'")
    reader = next((reader for reader in _READERS if reader.detect(root)), None)
    if reader is None:
        raise DataError(_nothing_found(root))
    reading = Reading(root=root, downscale=downscale, missing=missing)
    capture = reader.read(reading)
    capture = replace(capture, splits=_with_held_out(capture.splits, reading))
    _look_at_masks(capture.splits, reading)
    if origin is None:
        origin = choose_origin([frame.camera for frames in capture.splits.values() for frame in frames])
        if any(origin):
            reading.remark(
                f"The cameras stand far from zero: inside, coordinates are relative to the origin {origin}."
            )
    capture = relative_to(capture, checked_origin(origin))
    if unbounded is None:
        unbounded = not (capture.synthetic or _has_transparency(capture))
    length = float(np.linalg.norm(capture.up))
    if not 0.0 < length < np.inf:
        raise DataError(f"{root}: up is {capture.up}, expected a direction")
    return Scene(
        root=root,
        layout=reader.__name__.rpartition(".")[2],
        splits=capture.splits,
        bounds=(
            estimate_bounds(capture, unbounded, root)
            if bounds is None
            else box_to_scene(checked_bounds(bounds), capture.origin)
        ),
        up=(capture.up[0] / length, capture.up[1] / length, capture.up[2] / length),
        points=capture.points,
        unbounded=unbounded,
        origin=capture.origin,
        remarks=reading.told(),
    )


def _nothing_found(root: Path) -> str:
    looked_for = "; ".join(reader.LOOKS_FOR for reader in _READERS)
    message = f"{root}: no dataset found; looked for {looked_for}"
    inside = [
        str(folder)
        for folder in sorted(root.iterdir())
        if folder.is_dir() and any(reader.detect(folder) for reader in _READERS)
    ]
    return f"{message}; there is one in {' and one in '.join(inside[:3])}" if inside else message


def _with_held_out(splits: Splits, reading: Reading) -> Splits:
    """The splits that have frames; where nothing is held out, every eighth frame is, with a remark."""
    filled = {split: frames for split, frames in splits.items() if frames}
    if "train" not in filled:
        raise DataError(f"{reading.root}: no frames are left to train on, all are in {', '.join(filled)}")
    if len(filled) > 1 or len(filled["train"]) == 1:
        return filled
    held_out = hold_out(filled["train"])
    reading.remark(
        f"the dataset holds no frames out; every eighth by name is, {len(held_out['test'])} of "
        f"{len(filled['train'])}"
    )
    return held_out


def _look_at_masks(splits: Splits, reading: Reading) -> None:
    """Remark on masks that exclude nothing, or everything, among some that are spread over the frames."""
    masked = [frame for frames in splits.values() for frame in frames if frame.mask_paths]
    looked_at = list(dict.fromkeys(masked[:: -(-len(masked) // _MASKS_LOOKED_AT) or 1]))
    if not looked_at:
        return
    with ThreadPoolExecutor() as pool:
        shares = list(pool.map(_trainable_share, looked_at))
    for share, words in ((0.0, "every pixel"), (1.0, "no pixel")):
        names = [frame.name for frame, found in zip(looked_at, shares, strict=True) if found == share]
        if names:
            reading.remark(
                f"masks exclude {words} of {len(names)} of {len(looked_at)} frames that were looked at: "
                f"{quoted(names)}; black is what is not trained on (of a dynamic_mask_*, what is not black)"
            )


def _trainable_share(frame: Frame) -> float:
    mask = frame.load_mask()
    return 1.0 if mask is None else float(mask.mean())


def _has_transparency(capture: Capture) -> bool:
    """An alpha channel alone says little: many programs write one that is opaque everywhere."""
    train = capture.splits["train"]
    return all(frame.has_alpha for frame in train) and bool((train[0].load_image()[..., 3] < 255).any())
