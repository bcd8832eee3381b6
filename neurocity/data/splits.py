"""Which frames are trained on and which are held out, where the dataset does not say."""

from collections.abc import Iterable

from neurocity.data.scene import Frame, Splits

HOLD_OUT_EVERY = 8
"""As in mip-NeRF 360 and LLFF: of the frames sorted by name, the first and every eighth after it."""


def hold_out(frames: Iterable[Frame]) -> Splits:
    """ "train" and, equal to each other, "val" and "test"; a single frame is trained on."""
    ordered = sorted(frames, key=lambda frame: frame.name)
    if len(ordered) == 1:
        return {"train": tuple(ordered)}
    held = tuple(ordered[::HOLD_OUT_EVERY])
    train = tuple(frame for i, frame in enumerate(ordered) if i % HOLD_OUT_EVERY)
    return {"train": train, "val": held, "test": held}
