"""What was read of a dataset, in numbers and sentences: what `neurocity data` prints."""

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from neurocity.data.scene import Frame, Scene
from neurocity.lenses import LENS_PARAMETERS, Lens


@dataclass(frozen=True, kw_only=True)
class SplitSummary:
    """How many frames a split has, and how many of these have a mask, and an alpha channel."""

    frames: int
    masks: int
    alpha: int


@dataclass(frozen=True, kw_only=True)
class Intrinsics:
    """Cameras of one size and lens: how many frames, and the ranges of their focal lengths in pixels.

    params: the lens's coefficients where all frames have the same, else None.
    """

    frames: int
    width: int
    height: int
    lens: str
    params: dict[str, float] | None
    fl_x: tuple[float, float]
    fl_y: tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class SceneSummary:
    """A `Scene` in numbers; places and bounds are in world coordinates.

    same_held_out: whether "val" and "test" are the same frames. camera_bounds: the box of all cameras.
    """

    root: str
    layout: str
    splits: dict[str, SplitSummary]
    same_held_out: bool
    cameras: tuple[Intrinsics, ...]
    up: tuple[float, float, float]
    origin: tuple[float, float, float]
    bounds: tuple[float, ...]
    unbounded: bool
    camera_bounds: tuple[float, ...]
    points: int
    remarks: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)


def summarise(scene: Scene) -> SceneSummary:
    """The scene in numbers; decodes no image."""
    frames = all_frames(scene)
    origin = np.array(scene.origin)
    positions = np.stack([frame.camera.position for frame in frames]) + origin
    bounds = np.array(scene.bounds) + np.tile(origin, 2)
    return SceneSummary(
        root=str(scene.root),
        layout=scene.layout,
        splits={split: _split(scene.splits[split]) for split in scene.splits},
        same_held_out=scene.splits.get("val") == scene.splits.get("test") is not None,
        cameras=_intrinsics(frames),
        up=scene.up,
        origin=scene.origin,
        bounds=tuple(bounds.tolist()),
        unbounded=scene.unbounded,
        camera_bounds=(*positions.min(0).tolist(), *positions.max(0).tolist()),
        points=0 if scene.points is None else len(scene.points),
        remarks=scene.remarks,
    )


def all_frames(scene: Scene) -> list[Frame]:
    """The frames of all splits, each once, those to train on first."""
    return list(dict.fromkeys(frame for frames in scene.splits.values() for frame in frames))


def _split(frames: tuple[Frame, ...]) -> SplitSummary:
    return SplitSummary(
        frames=len(frames),
        masks=sum(bool(frame.mask_paths) for frame in frames),
        alpha=sum(frame.has_alpha for frame in frames),
    )


def _intrinsics(frames: list[Frame]) -> tuple[Intrinsics, ...]:
    """By size and lens, the most frequent first."""
    kinds = Counter((frame.camera.width, frame.camera.height, frame.camera.lens.model) for frame in frames)
    found = []
    for (width, height, lens), count in kinds.most_common():
        cameras = [
            camera
            for camera in (frame.camera for frame in frames)
            if (camera.width, camera.height, camera.lens.model) == (width, height, lens)
        ]
        shared = all(camera.lens == cameras[0].lens for camera in cameras)
        fl_x, fl_y = ([getattr(camera, name) for camera in cameras] for name in ("fl_x", "fl_y"))
        found.append(
            Intrinsics(
                frames=count,
                width=width,
                height=height,
                lens=lens,
                params=_params(cameras[0].lens) if shared else None,
                fl_x=(min(fl_x), max(fl_x)),
                fl_y=(min(fl_y), max(fl_y)),
            )
        )
    return tuple(found)


def _params(lens: Lens) -> dict[str, float]:
    return dict(zip(LENS_PARAMETERS[lens.model], lens.params, strict=True))
