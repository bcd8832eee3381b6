"""Camera paths as programs write them, for tests."""

import json
from typing import Any

import numpy as np
import pytest

from neurocity.cameras import Camera
from neurocity.poses import orbit

SIZE = (64, 48)


def around(azimuth: float, fov: float = 50.0) -> Camera:
    """A camera on a circle around the point (0.1, 0.2, 0.3)."""
    return Camera.from_fov_y(orbit(azimuth, 20.0, 4.0, (0.1, 0.2, 0.3)), *SIZE, fov)


CAMERAS = tuple(
    around(azimuth, fov) for azimuth, fov in ((0.0, 50.0), (40.0, 60.0), (100.0, 45.0), (150.0, 50.0))
)


def fov_of(camera: Camera) -> float:
    return float(np.degrees(2.0 * np.arctan(0.5 * camera.height / camera.fl_y)))


def nerfstudio_frames(cameras: tuple[Camera, ...] = CAMERAS, **changes: Any) -> dict[str, Any]:
    """camera_path.json with frames; a value of ... removes the entry."""
    frames = [
        {"camera_to_world": c.camera_to_world.reshape(-1).tolist(), "fov": fov_of(c), "aspect": 1.0}
        for c in cameras
    ]
    record: dict[str, Any] = {
        "camera_type": "perspective",
        "render_width": SIZE[0],
        "render_height": SIZE[1],
        "fps": 24,
        "seconds": len(frames) / 12,
        "is_cycle": False,
        "smoothness_value": 0.0,
        "camera_path": frames,
        "crop": None,
    }
    return {key: value for key, value in (record | changes).items() if value is not ...}


def viser_keyframes(cameras: tuple[Camera, ...] = CAMERAS, **changes: Any) -> dict[str, Any]:
    """camera_path.json of nerfstudio's viewer of today, with keyframes alone."""
    keyframes = [
        {
            "matrix": c.camera_to_world.reshape(-1).tolist(),
            "fov": fov_of(c),
            "aspect": 1.0,
            "override_transition_enabled": False,
            "override_transition_sec": None,
        }
        for c in cameras
    ]
    record = nerfstudio_frames(camera_path=[], keyframes=keyframes, default_transition_sec=0.5) | changes
    return {key: value for key, value in record.items() if value is not ...}


def three_js_keyframes(cameras: tuple[Camera, ...] = CAMERAS, **changes: Any) -> dict[str, Any]:
    """camera_path.json of nerfstudio's viewer before 1.0, with keyframes alone: texts, column by column."""
    keyframes = [
        {"matrix": json.dumps(c.camera_to_world.T.reshape(-1).tolist()), "fov": fov_of(c), "aspect": 1.0}
        for c in cameras
    ]
    return nerfstudio_frames(camera_path=[], keyframes=keyframes, smoothness_value=0.5, seconds=2.0) | changes


def base_cam(cameras: tuple[Camera, ...] = CAMERAS, scale: float = 0.33, offset: float = 0.5, **changes: Any):
    """instant-ngp's base_cam.json, by the formulas of its loader: columns y and z turned round, positions
    scaled and moved, rows cycled."""
    path = []
    for c in cameras:
        matrix = c.camera_to_world[:3] * np.array([1.0, -1.0, -1.0, 1.0])
        matrix[:, 3] = matrix[:, 3] * scale + offset
        matrix = matrix[[1, 2, 0]]
        path.append(
            {
                "R": _xyzw(matrix[:, :3]),
                "T": matrix[:, 3].tolist(),
                "slice": 0.0,
                "scale": 1.5,
                "fov": fov_of(c),
                "aperture_size": 0.0,
                "timestamp": 0.0,
            }
        )
    return {"loop": False, "time": 0.0, "path": path, "duration_seconds": 0.0, "spline_order": 3} | changes


def _xyzw(rotation: np.ndarray) -> list[float]:
    """The eigenvector of a rotation's quaternion form, x, y, z, w (Bar-Itzhack 2000)."""
    (a, b, c), (d, e, f), (g, h, i) = rotation
    form = np.array(
        [
            [a - e - i, d + b, g + c, h - f],
            [d + b, e - a - i, h + f, c - g],
            [g + c, h + f, i - a - e, d - b],
            [h - f, c - g, d - b, a + e + i],
        ]
    )
    return np.linalg.eigh(form)[1][:, -1].tolist()


def keyframes(cameras: tuple[Camera, ...] = CAMERAS, **changes: Any) -> dict[str, Any]:
    """NeuroCity's keyframes."""
    entries = [{"camera_to_world": c.camera_to_world.tolist(), "fov_y_degrees": fov_of(c)} for c in cameras]
    record = {
        "keyframes": entries,
        "width": SIZE[0],
        "height": SIZE[1],
        "frames_per_second": 30,
        "seconds": 2.0,
        "loop": False,
    }
    return {key: value for key, value in (record | changes).items() if value is not ...}


def assert_same(got: Camera, expected: Camera, atol: float = 1e-9) -> None:
    np.testing.assert_allclose(got.camera_to_world, expected.camera_to_world, atol=atol)
    assert (got.width, got.height) == (expected.width, expected.height)
    assert (got.fl_x, got.fl_y, got.cx, got.cy) == pytest.approx(
        (expected.fl_x, expected.fl_y, expected.cx, expected.cy), abs=1e-6
    )
