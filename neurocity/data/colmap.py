"""Reader of COLMAP datasets: a sparse model, its images in `images/`, and masks in `masks/`."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from neurocity.cameras import Camera
from neurocity.data.calibrated import find_mask, mean_up
from neurocity.data.colmap_folders import LOOKS_FOR, find_folders, has_model
from neurocity.data.colmap_model import read_model
from neurocity.data.colmap_records import ColmapCamera, ColmapImage
from neurocity.data.files import Found
from neurocity.data.images import probe
from neurocity.data.names import quoted
from neurocity.data.photographs import find_images, make_frame
from neurocity.data.reading import Reading
from neurocity.data.scene import Capture, naming
from neurocity.errors import DataError
from neurocity.lenses import lens_of
from neurocity.pose_files.text import printable
from neurocity.poses import opencv_to_opengl

_CALIBRATION = ("f", "fx", "fy", "cx", "cy")


def detect(root: Path) -> bool:
    """Whether `root` has a sparse model in one of the usual places."""
    return has_model(root)


def read(reading: Reading) -> Capture:
    """Raises DataError, naming file and image, when a file is missing or not as expected.

    Only registered images are frames. Up is the mean of the cameras' up axes, as in nerfstudio.
    """
    folders = find_folders(reading)
    if folders is None:
        raise DataError(f"{reading.root}: no sparse model; looked for {LOOKS_FOR}")
    folder = folders.model
    model = read_model(folder, reading)
    if not model.images:
        raise DataError(f"{folder}: the model has no registered images")
    found = find_images(
        reading, [image.name for image in model.images], folders.images, label=f"{folder}: image"
    )
    frames = []
    for image in model.images:
        if image.name not in found:
            continue
        with naming(f"{folder}: image {printable(image.name)!r}"):
            if image.camera_id not in model.cameras:
                raise DataError(f"its camera {image.camera_id} is not in the model")
            frames.append(
                make_frame(
                    reading,
                    found[image.name],
                    _posed(image, model.cameras[image.camera_id]),
                    probe(found[image.name].path),
                    stated_by=f"its camera {image.camera_id} has",
                    mask_path=find_mask(found[image.name], folders.masks, reading),
                )
            )
    _remark_on_unregistered(list(found.values()), reading)
    masked = sum(frame.mask_path is not None for frame in frames)
    if 0 < masked < len(frames):
        reading.remark(f"{masked} of {len(frames)} images have a mask in masks/, the others are whole")
    return Capture(splits={"train": tuple(frames)}, up=mean_up(frames, folder), points=model.points)


def _remark_on_unregistered(found: Sequence[Found], reading: Reading) -> None:
    registered = {image.path for image in found}
    others = [
        path
        for folder in sorted({path.parent for path in registered})
        for path in reading.files.pictures(folder)
        if path not in registered and not path.name.startswith("dynamic_mask_")
    ]
    if others:
        reading.remark(
            f"{len(others)} of {len(others) + len(registered)} images are not registered in the model and "
            f"are left out: {quoted([path.name for path in others])}"
        )


def _posed(image: ColmapImage, camera: ColmapCamera) -> Camera:
    """The camera of an image, at the size that the model has."""
    focal = camera.params.get("f", 0.0)
    return Camera(
        camera_to_world=_camera_to_world(image),
        width=camera.width,
        height=camera.height,
        fl_x=camera.params.get("fx", focal),
        fl_y=camera.params.get("fy", focal),
        cx=camera.params.get("cx", 0.5 * camera.width),
        cy=camera.params.get("cy", 0.5 * camera.height),
        lens=lens_of(camera.model, {k: v for k, v in camera.params.items() if k not in _CALIBRATION}),
    )


def _camera_to_world(image: ColmapImage) -> npt.NDArray[np.float64]:
    """The inverse of [R(qvec) | tvec], with OpenGL axes. A zero quaternion gives what `Camera` refuses."""
    norm = np.linalg.norm(image.qvec)
    w, x, y, z = np.array(image.qvec) / norm if 0 < norm < np.inf else np.full(4, np.nan)
    rotation = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )
    pose = np.eye(4)
    pose[:3, :3] = rotation.T
    with np.errstate(invalid="ignore"):
        pose[:3, 3] = -rotation.T @ image.tvec
    return opencv_to_opengl(pose)
