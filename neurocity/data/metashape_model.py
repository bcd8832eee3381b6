"""Camera files of Agisoft Metashape (File > Export > Export Cameras > Agisoft XML), as plain records.

A document has chunks; a chunk has sensors, cameras (some in groups) and components, the parts that were
aligned together. A camera's transform is camera-to-chunk with OpenCV axes; the component's transform, or in
files of older versions the chunk's, leads on to world coordinates.
"""

import math
import re
import xml.etree.ElementTree as ET
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from neurocity.errors import DataError

Array = npt.NDArray[np.float64]

_START = re.compile(
    rb"(\xef\xbb\xbf)?\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)*<document\b[^>]*>\s*<chunk\b", re.DOTALL
)
_HEAD = 4096

_OFF = ("false", "0")

_FISHEYE = {"frame": False, "fisheye": True, "equidistant_fisheye": True}
"""Supported types of a sensor."""

UNDISTORT = "export undistorted photographs (File > Export > Convert Images), with their cameras"


@dataclass(frozen=True)
class Sensor:
    """One calibrated camera body: image size in pixels, coefficients by Metashape's names."""

    fisheye: bool
    width: int
    height: int
    values: dict[str, float]


@dataclass(frozen=True, eq=False)
class Similarity:
    """World = scale * rotation [3, 3] @ chunk + translation [3]."""

    rotation: Array = field(default_factory=lambda: np.eye(3))
    translation: Array = field(default_factory=lambda: np.zeros(3))
    scale: float = 1.0

    def point(self, points: Array) -> Array:
        """Chunk points [..., 3] in the world."""
        return np.asarray(self.scale * points @ self.rotation.T + self.translation)

    def pose(self, camera_to_chunk: Array) -> Array:
        """The camera-to-world 4x4 of a camera-to-chunk 4x4."""
        pose = np.eye(4)
        pose[:3, :3] = self.rotation @ camera_to_chunk[:3, :3]
        pose[:3, 3] = self.point(camera_to_chunk[:3, 3])
        return pose


@dataclass(frozen=True, eq=False)
class AlignedCamera:
    """One aligned photograph: label, and the name of its group before it where labels repeat."""

    name: str
    sensor_id: str
    component_id: str
    camera_to_chunk: Array


@dataclass(frozen=True, eq=False)
class Chunk:
    """A chunk's element and what is read of it; cameras are enabled and aligned.

    disabled, unaligned: how many cameras are not among them, and why.
    """

    element: ET.Element
    cameras: tuple[AlignedCamera, ...]
    disabled: int
    unaligned: int


def is_document(path: Path) -> bool:
    """Whether `path` begins as a document of Metashape with a chunk in it."""
    with path.open("rb") as file:
        return _START.match(file.read(_HEAD)) is not None


def read_chunks(path: Path) -> list[Chunk]:
    """All chunks, those with most cameras first. Raises DataError, naming file and camera, when malformed."""
    try:
        root = ET.parse(path).getroot()
    except ET.ParseError as error:
        raise DataError(f"{path}: line {error.position[0]}: not valid XML ({error})") from None
    except (OSError, ValueError, LookupError) as error:
        raise DataError(f"{path}: cannot be read ({error})") from None
    chunks = [_chunk(path, element) for element in root.findall("chunk")]
    return sorted(chunks, key=lambda chunk: len(chunk.cameras), reverse=True)


def _chunk(path: Path, chunk: ET.Element) -> Chunk:
    cameras, disabled, unaligned = [], 0, 0
    for group, camera in _cameras(chunk.find("cameras")):
        label = camera.get("label")
        where = f"{path}: camera {label!r}"
        if not label:
            raise DataError(f"{path}: camera with id {camera.get('id')!r} has no label")
        if camera.get("enabled") in _OFF:
            disabled += 1
            continue
        transform = camera.find("transform")
        if transform is None:
            unaligned += 1
            continue
        if camera.find("rolling_shutter") is not None:
            raise DataError(
                f"{where}: has `rolling_shutter`, a pose for each row, which is not supported; align the "
                "photographs without rolling shutter compensation"
            )
        pose = numbers(transform, 16, f"{where}: `transform`").reshape(4, 4)
        ids = (camera.get("sensor_id", ""), camera.get("component_id", ""))
        cameras.append((group, AlignedCamera(label, *ids, pose)))
    return Chunk(chunk, tuple(_with_unique_names(path, cameras)), disabled, unaligned)


def _cameras(parent: ET.Element | None, group: str = "") -> list[tuple[str, ET.Element]]:
    """Camera elements with the label of their group, in the file's order."""
    found = []
    for element in [] if parent is None else parent:
        if element.tag == "camera":
            found.append((group, element))
        elif element.tag == "group":
            found += _cameras(element, element.get("label", ""))
    return found


def _with_unique_names(path: Path, cameras: list[tuple[str, AlignedCamera]]) -> list[AlignedCamera]:
    labels = Counter(camera.name for _, camera in cameras)
    named = [
        AlignedCamera(f"{group}/{c.name}" if group and labels[c.name] > 1 else c.name, *_rest(c))
        for group, c in cameras
    ]
    name, count = Counter(camera.name for camera in named).most_common(1)[0] if named else ("", 1)
    if count > 1:
        raise DataError(f"{path}: camera {name!r} stands there {count} times; give each its own label")
    return named


def _rest(camera: AlignedCamera) -> tuple[str, str, Array]:
    return camera.sensor_id, camera.component_id, camera.camera_to_chunk


def find_component(chunk: Chunk, component_id: str) -> ET.Element | None:
    """The component's element, None in files of versions that had none."""
    components = chunk.element.findall("components/component")
    return next((element for element in components if element.get("id") == component_id), None)


def read_similarity(path: Path, element: ET.Element | None) -> Similarity | None:
    """What `transform` in a component or chunk says, None when there is none."""
    transform = None if element is None else element.find("transform")
    if transform is None:
        return None
    values = {}
    for name, count in (("rotation", 9), ("translation", 3), ("scale", 1)):
        part = transform.find(name)
        if part is not None:
            values[name] = numbers(part, count, f"{path}: `{name}` of the transform")
    similarity = Similarity(
        rotation=values.get("rotation", np.eye(3)).reshape(3, 3),
        translation=values.get("translation", np.zeros(3)),
        scale=float(values.get("scale", np.ones(1))[0]),
    )
    if not similarity.scale > 0:
        raise DataError(f"{path}: `scale` of the transform is {similarity.scale}, expected a positive number")
    return similarity


def read_region(path: Path, element: ET.Element | None) -> Array | None:
    """The corners [8, 3] of the region of a component or chunk, in its coordinates; None when it has none."""
    region = None if element is None else element.find("region")
    if region is None:
        return None
    parts = {}
    for name, count in (("center", 3), ("size", 3), ("R", 9)):
        part = region.find(name)
        if part is None:
            return None
        parts[name] = numbers(part, count, f"{path}: `{name}` of the region")
    corners = np.stack(np.meshgrid(*[(-0.5, 0.5)] * 3, indexing="ij"), -1).reshape(8, 3)
    return np.asarray(parts["center"] + (corners * parts["size"]) @ parts["R"].reshape(3, 3).T)


def read_sensor(chunk: Chunk, sensor_id: str) -> Sensor:
    """The adjusted calibration of a sensor, or else its initial one.

    Raises DataError, naming the sensor, when there is no such sensor, calibration or image size, and when its
    type is not supported.
    """
    sensors = chunk.element.findall("sensors/sensor")
    sensor = next((element for element in sensors if element.get("id") == sensor_id), None)
    if sensor is None:
        raise DataError(f"its sensor {sensor_id!r} is not in the file")
    where = f"its sensor {sensor_id!r} ({sensor.get('label', 'without label')})"
    calibrations = sensor.findall("calibration")
    adjusted = [element for element in calibrations if element.get("class") == "adjusted"]
    calibration = next(iter(adjusted + calibrations), None)
    kind = None if calibration is None else calibration.get("type")
    kind = kind or sensor.get("type", "frame")
    if kind not in _FISHEYE:
        raise DataError(
            f"{where}: type {kind!r} is not supported, supported: {', '.join(_FISHEYE)}; {UNDISTORT}"
        )
    if calibration is None:
        raise DataError(f"{where}: has no calibration; align the photographs, then export the cameras")
    size = calibration.find("resolution")
    size = sensor.find("resolution") if size is None else size
    if size is None:
        raise DataError(f"{where}: has no resolution")
    width, height = (_pixels(size.get(side), f"{where}: `{side}`") for side in ("width", "height"))
    values = {
        element.tag: float(numbers(element, 1, f"{where}: `{element.tag}`")[0])
        for element in calibration
        if element.tag != "resolution"
    }
    return Sensor(_FISHEYE[kind], width, height, values)


def numbers(element: ET.Element, count: int, label: str) -> Array:
    """The finite numbers in an element's text [count]. Raises DataError, which starts with `label`."""
    try:
        values = [float(word) for word in (element.text or "").split()]
    except ValueError:
        values = []
    if len(values) != count or not all(map(math.isfinite, values)):
        text = " ".join((element.text or "").split())
        raise DataError(f"{label} is {text!r}, expected {count} finite number{'s' * (count > 1)}")
    return np.array(values, dtype=np.float64)


def _pixels(text: str | None, label: str) -> int:
    if text is None or not text.strip().isdecimal() or int(text) < 1:
        raise DataError(f"{label} is {text!r}, expected a whole number of pixels of at least 1")
    return int(text)
