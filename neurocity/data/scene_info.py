"""What a checkpoint carries of the scene that its model was trained on."""

from dataclasses import replace

from neurocity.contract import SceneInfo
from neurocity.data.datasets import TrainingRays, Views
from neurocity.data.scene import Bounds, fingerprint
from neurocity.lenses import PINHOLE


def scene_info(rays: TrainingRays, views: Views | None, bounds: Bounds) -> SceneInfo:
    """The scene behind training rays and held-out views; `bounds` are the model's.

    Without views the training cameras stand in for them. Rays that know no scene are taken to have +z up and
    the origin zero.
    """
    frames = rays.frames if views is None else views.frames
    splits = {"train": rays.frames, "val": frames} if rays.scene is None else rays.scene.splits
    transparent = not rays.unbounded and any(frame.has_alpha for frame in rays.frames)
    return SceneInfo(
        bounds=bounds,
        up=(0.0, 0.0, 1.0) if rays.scene is None else rays.scene.up,
        background=(1.0, 1.0, 1.0) if transparent else None,
        # Models render ideal pinholes: a held-out camera with a lens stands for the same view without it.
        views=tuple(replace(frame.camera, lens=PINHOLE).to_view(frame.name) for frame in frames),
        dataset_fingerprint=fingerprint(splits),
        origin=(0.0, 0.0, 0.0) if rays.scene is None else rays.scene.origin,
    )
