"""Reader of COLMAP datasets: a sparse model, and its images in `images/`."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from neurocity.cameras import Camera, opencv_to_opengl
from neurocity.data.calibrated import mean_up
from neurocity.data.colmap_model import ColmapCamera, ColmapImage, read_model
from neurocity.data.images import probe
from neurocity.data.reading import Reading
from neurocity.data.scene import Capture, Frame, hold_out, naming
from neurocity.errors import DataError
from neurocity.lenses import lens_of

_FOLDERS = ("sparse/0", "sparse", "colmap/sparse/0")
LOOKS_FOR = f"cameras.bin or cameras.txt in {', '.join(_FOLDERS)} (COLMAP)"

_CALIBRATION = ("f", "fx", "fy", "cx", "cy")


def detect(root: Path) -> bool:
    """Whether `root` has a sparse model in one of the usual places."""
    return _model_folder(root) is not None


def read(reading: Reading) -> Capture:
    """Raises DataError, naming file and image, when a file is missing or not as expected.

    Only registered images are frames. Up is the mean of the cameras' up axes, as in nerfstudio.
    """
    root = reading.root
    folder = _model_folder(root)
    if folder is None:
        raise DataError(f"{root}: no sparse model; looked for {LOOKS_FOR}")
    model = read_model(folder)
    if not model.images:
        raise DataError(f"{folder}: the model has no registered images")
    frames = []
    for image in model.images:
        with naming(f"{folder}: image {image.name!r}"):
            if image.camera_id not in model.cameras:
                raise DataError(f"its camera {image.camera_id} is not in the model")
            camera = model.cameras[image.camera_id]
            frames.append(_frame(root / "images" / image.name, image, camera, reading.downscale))
    return Capture(splits=hold_out(frames), up=mean_up(frames, folder), points=model.points)


def _model_folder(root: Path) -> Path | None:
    candidates = (root / folder for folder in _FOLDERS)
    return next(
        (f for f in candidates if (f / "cameras.bin").is_file() or (f / "cameras.txt").is_file()), None
    )


def _frame(path: Path, image: ColmapImage, camera: ColmapCamera, downscale: int) -> Frame:
    info = probe(path)
    if (info.width, info.height) != (camera.width, camera.height):
        raise DataError(
            f"{path} is {info.width}x{info.height} pixels, its camera {image.camera_id} has "
            f"{camera.width}x{camera.height}; use the images that the model was made from, with downscale"
        )
    focal = camera.params.get("f", 0.0)
    posed = Camera(
        camera_to_world=_camera_to_world(image),
        width=camera.width,
        height=camera.height,
        fl_x=camera.params.get("fx", focal),
        fl_y=camera.params.get("fy", focal),
        cx=camera.params["cx"],
        cy=camera.params["cy"],
        lens=lens_of(camera.model, {k: v for k, v in camera.params.items() if k not in _CALIBRATION}),
    ).downscaled(downscale)
    return Frame(
        name=image.name, image_path=path, camera=posed, has_alpha=info.has_alpha, downscale=downscale
    )


def _camera_to_world(image: ColmapImage) -> npt.NDArray[np.float64]:
    """The inverse of [R(qvec) | tvec], with OpenGL axes. A zero quaternion gives what `Camera` refuses."""
    norm = np.linalg.norm(image.qvec)
    w, x, y, z = np.array(image.qvec) / norm if norm > 0 else np.full(4, np.nan)
    rotation = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )
    pose = np.eye(4)
    pose[:3, :3] = rotation.T
    pose[:3, 3] = -rotation.T @ image.tvec
    return opencv_to_opengl(pose)
