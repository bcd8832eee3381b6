"""Reader of Agisoft Metashape: exported cameras (Agisoft XML), and images in a folder or beside the file.

Camera models are those of the user manual's appendix. Next to OpenCV's, p1 and p2 change places, f + b1 and f
are the focal lengths, b2 is the skew in pixels, and cx and cy are taken from the image's centre.
"""

from collections import Counter
from pathlib import Path

import numpy as np

from neurocity.cameras import Camera
from neurocity.data.bounds import checked_bounds
from neurocity.data.calibrated import calibrated_frames, mean_up
from neurocity.data.metashape_model import (
    UNDISTORT,
    AlignedCamera,
    Array,
    Chunk,
    Sensor,
    Similarity,
    find_component,
    is_document,
    read_chunks,
    read_region,
    read_sensor,
    read_similarity,
)
from neurocity.data.reading import Reading
from neurocity.data.scene import Bounds, Capture, Frame, naming
from neurocity.errors import DataError
from neurocity.lenses import Lens, brown_lens
from neurocity.poses import opencv_to_opengl

LOOKS_FOR = "an .xml with exported cameras (Agisoft Metashape)"

_KNOWN = ("f", "cx", "cy", "b1", "b2", "k1", "k2", "k3", "k4", "p1", "p2")

_EARTH = (6.3e6, 6.5e6)
"""Distances in metres from the Earth's centre at which photographs are taken."""


def detect(root: Path) -> bool:
    """Whether an XML file of this layout is in `root`."""
    return bool(_documents(root))


def read(reading: Reading) -> Capture:
    """Raises DataError, naming file and camera, when a file is missing or not as expected.

    Of several chunks or components the one with the most cameras is read. The region says where the content
    is. Up is the mean of the cameras' up axes, and in geocentric coordinates the way out of the Earth.
    """
    path = _only_document(reading.root)
    chunk, component_id, cameras = _largest_component(path, reading)
    component = find_component(chunk, component_id)
    similarity = read_similarity(path, component) or read_similarity(path, chunk.element)
    if similarity is None:
        reading.remark(f"{path.name} has no transform: coordinates and their unit are Metashape's own")
        similarity = Similarity()
    sensors: dict[str, Sensor] = {}
    posed = {}
    for camera in sorted(cameras, key=lambda camera: camera.name):
        with naming(f"{path}: camera {camera.name!r}"):
            if camera.sensor_id not in sensors:
                sensors[camera.sensor_id] = read_sensor(chunk, camera.sensor_id)
            posed[camera.name] = _camera(sensors[camera.sensor_id], similarity.pose(camera.camera_to_chunk))
    frames = calibrated_frames(reading, path, (reading.root / "images", reading.root), posed)
    corners = read_region(path, component)
    if corners is None:
        corners = read_region(path, chunk.element)
    bounds, inner_bounds = (None, None) if corners is None else _boxes(similarity.point(corners), frames)
    return Capture(
        splits={"train": tuple(frames)},
        up=_up(frames, path, reading),
        bounds=bounds,
        inner_bounds=inner_bounds,
    )


def _documents(root: Path) -> list[Path]:
    files = (path for path in root.iterdir() if path.suffix.lower() == ".xml" and path.is_file())
    return sorted(filter(is_document, files))


def _only_document(root: Path) -> Path:
    paths = _documents(root)
    if len(paths) != 1:
        names = ", ".join(path.name for path in paths)
        raise DataError(f"{root}: {names or 'no files'} have exported cameras, expected one such file")
    return paths[0]


def _largest_component(path: Path, reading: Reading) -> tuple[Chunk, str, list[AlignedCamera]]:
    """The chunk, and the id and the cameras of the component in it, with the most cameras; says the rest."""
    chunks = read_chunks(path)
    if not chunks or not chunks[0].cameras:
        raise DataError(f"{path}: no camera is aligned and enabled; align the photographs, then export")
    chunk = chunks[0]
    if others := sum(len(other.cameras) for other in chunks[1:]):
        reading.remark(
            f"{path.name}: {len(chunks)} chunks; the one with the most cameras, {len(chunk.cameras)}, is "
            f"read, {others} cameras of others are left out"
        )
    if chunk.disabled:
        reading.remark(f"{path.name}: {chunk.disabled} disabled cameras are left out")
    if chunk.unaligned:
        reading.remark(
            f"{path.name}: {chunk.unaligned} cameras without a transform (not aligned) are left out"
        )
    component_id, count = Counter(camera.component_id for camera in chunk.cameras).most_common(1)[0]
    if count < len(chunk.cameras):
        reading.remark(
            f"{path.name}: several components; the one with the most cameras, {count}, is read, "
            f"{len(chunk.cameras) - count} cameras of others are left out"
        )
    return chunk, component_id, [c for c in chunk.cameras if c.component_id == component_id]


def _camera(sensor: Sensor, camera_to_world: Array) -> Camera:
    values = sensor.values
    if "f" not in values:
        raise DataError(
            "its sensor's calibration has no focal length `f`, expected as Metashape and PhotoScan 1.2 or "
            "later write it; export the cameras with such a version"
        )
    fl_x, fl_y = values["f"] + values.get("b1", 0.0), values["f"]
    return Camera(
        camera_to_world=opencv_to_opengl(camera_to_world),
        width=sensor.width,
        height=sensor.height,
        fl_x=fl_x,
        fl_y=fl_y,
        cx=0.5 * sensor.width + values.get("cx", 0.0),
        cy=0.5 * sensor.height + values.get("cy", 0.0),
        lens=_lens(sensor, fl_x),
    )


def _lens(sensor: Sensor, fl_x: float) -> Lens:
    for name, value in sensor.values.items():
        if value != 0.0 and name not in _KNOWN:
            raise DataError(
                f"{name} = {value} in its sensor's calibration is not supported, supported: "
                f"{', '.join(_KNOWN)}; {UNDISTORT}"
            )
    coefficients = {name: sensor.values.get(name, 0.0) for name in ("k1", "k2", "k3", "k4")}
    coefficients["p1"] = sensor.values.get("p2", 0.0)
    coefficients["p2"] = sensor.values.get("p1", 0.0)
    coefficients["skew"] = sensor.values.get("b2", 0.0) / fl_x if fl_x else 0.0
    return brown_lens(coefficients, fisheye=sensor.fisheye)


def _boxes(corners: Array, frames: list[Frame]) -> tuple[Bounds | None, Bounds | None]:
    """The box around the region, and that around region and cameras; None for a region without a volume."""
    if not (corners.max(0) > corners.min(0)).all():
        return None, None
    both = np.concatenate([corners, [frame.camera.position for frame in frames]])
    region, inner = (checked_bounds([*points.min(0), *points.max(0)]) for points in (corners, both))
    return region, inner


def _up(frames: list[Frame], path: Path, reading: Reading) -> tuple[float, float, float]:
    positions = np.stack([frame.camera.position for frame in frames])
    distances = np.linalg.norm(positions, axis=1)
    if not ((distances > _EARTH[0]) & (distances < _EARTH[1])).all():
        return mean_up(frames, path)
    reading.remark(
        f"{path.name}: coordinates are geocentric (metres from the Earth's centre), up points outwards"
    )
    x, y, z = positions.mean(0).tolist()
    return (x, y, z)
