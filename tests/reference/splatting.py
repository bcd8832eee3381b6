"""3D Gaussian Splatting one pixel and one Gaussian at a time in double precision, from the numbers of a file.

It follows Kerbl et al. 2023 and the constants of their renderer, for Gaussians of any shape.
"""

import math
from collections.abc import Mapping

import numpy as np

from neurocity.cameras import Camera

from . import spherical_harmonics

Row = Mapping[str, float]
"""The numbers of a Gaussian by the names of the file's properties."""


def file_rows(content: bytes) -> list[dict[str, float]]:
    """The Gaussians of a binary PLY file of floats, by its own header."""
    header, body = content.split(b"end_header\n", 1)
    lines = header.decode().splitlines()
    assert lines[:2] == ["ply", "format binary_little_endian 1.0"]
    names = [line.split()[2] for line in lines if line.startswith("property float ")]
    (count,) = [int(line.split()[2]) for line in lines if line.startswith("element vertex ")]
    values = np.frombuffer(body, "<f4").reshape(count, len(names))
    return [dict(zip(names, row.tolist(), strict=True)) for row in values]


def color(row: Row, view: np.ndarray) -> np.ndarray:
    """Colour [3] seen along a unit vector."""
    basis = spherical_harmonics.values(view)
    rest = sum(name.startswith("f_rest_") for name in row) // 3
    value = np.empty(3)
    for channel in range(3):
        value[channel] = 0.5 + basis[0] * row[f"f_dc_{channel}"]
        for k in range(rest):
            value[channel] += basis[1 + k] * row[f"f_rest_{channel * rest + k}"]
    return np.maximum(value, 0.0)


def covariance(row: Row) -> np.ndarray:
    """Of a Gaussian in the world, [3, 3]."""
    w, x, y, z = np.array([row[f"rot_{k}"] for k in range(4)]) / math.hypot(
        *(row[f"rot_{k}"] for k in range(4))
    )
    turn = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )
    stretched = turn @ np.diag([math.exp(row[f"scale_{axis}"]) for axis in range(3)])
    return stretched @ stretched.T


def pixel(rows: list[Row], camera: Camera, i: int, j: int) -> tuple[np.ndarray, float, float]:
    """rgb [3], depth and opacity of the pixel in row i and column j."""
    to_camera = np.diag([1.0, -1.0, -1.0]) @ camera.camera_to_world[:3, :3].T
    eye = camera.camera_to_world[:3, 3]
    near_first = []
    for row in rows:
        place = np.array([row["x"], row["y"], row["z"]])
        near_first.append((float((to_camera @ (place - eye))[2]), place, row))
    near_first.sort(key=lambda each: each[0])
    light, distance, opacity, left = np.zeros(3), 0.0, 0.0, 1.0
    for z, place, row in near_first:
        if z <= 0.2:
            continue
        x, y, _ = to_camera @ (place - eye)
        limit_x, limit_y = 1.3 * camera.width / (2 * camera.fl_x), 1.3 * camera.height / (2 * camera.fl_y)
        tx, ty = z * min(max(x / z, -limit_x), limit_x), z * min(max(y / z, -limit_y), limit_y)
        jacobian = np.array(
            [
                [camera.fl_x / z, 0.0, -camera.fl_x * tx / z**2],
                [0.0, camera.fl_y / z, -camera.fl_y * ty / z**2],
            ]
        )
        flat = jacobian @ to_camera @ covariance(row) @ to_camera.T @ jacobian.T + 0.3 * np.eye(2)
        middle = np.array([camera.fl_x * x / z + camera.cx, camera.fl_y * y / z + camera.cy])
        offset = np.array([j + 0.5, i + 0.5]) - middle
        peak = 1.0 / (1.0 + math.exp(-row["opacity"]))
        alpha = min(0.99, peak * math.exp(-0.5 * offset @ np.linalg.inv(flat) @ offset))
        if alpha < 1.0 / 255.0:
            continue
        if left * (1.0 - alpha) < 1e-4:
            break
        away = float(np.linalg.norm(place - eye))
        light += left * alpha * color(row, (place - eye) / away)
        distance += left * alpha * away
        opacity += left * alpha
        left *= 1.0 - alpha
    return np.minimum(light, 1.0), distance / max(opacity, 1e-6), opacity
