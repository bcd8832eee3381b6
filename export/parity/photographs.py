"""Loss against photographs: how much further than the model an artefact is from the truth."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from export.checks import Check, at_most
from export.parity.metrics import psnr_db
from export.parity.tolerances import Tolerance
from neurocity.cameras import Rays
from neurocity.contract import SceneInfo
from neurocity.errors import DataError, ReducedImagesError
from neurocity.light import Float32, Light, over_background

if TYPE_CHECKING:
    from neurocity.data.scene import Frame, Scene


class Photographs:
    """The held-out photographs of the dataset in `folder`, which `info` has to be the scene of.

    Raises DataError when the folder holds no dataset, or another one than the model was trained on.
    """

    def __init__(self, folder: Path, info: SceneInfo) -> None:
        scene = _load(folder, info)
        found = scene.fingerprint()
        if found != info.dataset_fingerprint:
            raise DataError(
                f"{folder}: is not the dataset that the model was trained on: got the fingerprint {found}, "
                f"expected {info.dataset_fingerprint}; give the folder that the training had, unchanged"
                + "".join(f"; note: {remark}" for remark in scene.remarks)
            )
        self._frames: tuple[Frame, ...] = scene.held_out
        self._background = info.background

    def image(self, index: int) -> Float32:
        """The photograph of a held-out view over the scene's background, [H * W, 3] in [0, 1]."""
        pixels = self._frames[index].load_image().reshape(-1, 4).astype(np.float32) / 255
        alpha = pixels[:, 3]
        return over_background(pixels[:, :3] * alpha[:, None], alpha, self._background)

    def rays(self, index: int, *, radii: bool = False) -> Rays | None:
        """The rays that made the photograph, where they are not those of the view: through a lens."""
        camera = self._frames[index].camera
        return None if camera.lens.model == "PINHOLE" else camera.rays(radii=radii)


def compare_with_photograph(
    got: Light, expected: Light, photograph: Float32, background: tuple[float, float, float] | None
) -> dict[str, float]:
    """PSNR in dB of model and artefact against a photograph [R, 3], and what the artefact loses."""
    artefact, model = (
        psnr_db(over_background(light.rgb, light.opacity, background), photograph)
        for light in (got, expected)
    )
    return {"model_psnr_db": model, "artefact_psnr_db": artefact, "loss_db": model - artefact}


def photograph_checks(views: list[dict[str, Any]], tolerance: Tolerance) -> list[Check]:
    """The view that loses most against its limit; none where there are no photographs."""
    losses = {view["view"]: view["photograph"]["loss_db"] for view in views if "photograph" in view}
    if not losses:
        return []
    worst = max(losses, key=lambda name: (np.isnan(losses[name]), losses[name]))
    return [at_most("dB lost against the photograph", f"view {worst}", losses[worst], tolerance.psnr_loss_db)]


def summary(views: list[dict[str, Any]]) -> dict[str, float]:
    """Means over the views, and the largest loss of one."""
    rows = [view["photograph"] for view in views]
    means = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
    return means | {"largest_loss_db": max(row["loss_db"] for row in rows)}


def _load(folder: Path, info: SceneInfo) -> "Scene":
    """The scene in the size that the model was trained in, which its views tell.

    Images that are missing are left out, as the training may have done: its fingerprint tells.
    """
    from neurocity.data.load import load_scene  # noqa: PLC0415, readers are wanted only with --data

    smallest = 1
    try:
        scene = load_scene(folder, missing="skip")
    except ReducedImagesError as error:
        smallest = error.downscale
        scene = load_scene(folder, downscale=smallest, missing="skip")
    if not scene.held_out:
        raise DataError(f"{folder}: has no val or test frames to compare with")
    further = scene.held_out[0].camera.width // info.views[0].width
    return load_scene(folder, downscale=smallest * further, missing="skip") if further > 1 else scene
