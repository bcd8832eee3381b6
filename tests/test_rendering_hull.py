"""Visual hulls of a sphere and a box whose silhouettes are computed from their geometry."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from neurocity.cameras import Camera
from neurocity.lenses import PINHOLE, Lens
from neurocity.poses import look_at
from neurocity.rendering.hull import possible_cells

LOW, SIDE, RESOLUTION = (-1.0, -1.0, -1.0), 2.0, 32
BENT = Lens("OPENCV", (0.15, 0.05, 0.002, -0.001, 0.0))
FISHEYE = Lens("OPENCV_FISHEYE", (0.02, -0.01, 0.0, 0.0))

Views = list[tuple[Camera, torch.Tensor]]


def sphere_is_hit(
    origins: np.ndarray, directions: np.ndarray, center: np.ndarray, radius: float
) -> np.ndarray:
    away = origins - center
    along = (away * directions).sum(-1)
    nearest = np.maximum(-along, 0.0)
    return ((away + nearest[:, None] * directions) ** 2).sum(-1) <= radius**2


def photograph(camera: Camera, center: np.ndarray, radius: float) -> tuple[Camera, torch.Tensor]:
    """A camera with the alpha of a sphere: 1 in pixels that any of 5 x 5 rays of meets it, as a renderer's
    filter would leave a trace of it there."""
    fine = camera.resized(5 * camera.width, 5 * camera.height)
    origins, directions = (rays.astype(np.float64) for rays in fine.rays().arrays())
    hit = sphere_is_hit(origins, directions, center, radius)
    alpha = hit.reshape(camera.height, 5, camera.width, 5).any(axis=(1, 3))
    return camera, torch.from_numpy(alpha.astype(np.float32))


def ring(
    count: int = 12, *, fov: float = 50.0, lens: Lens | None = None, distance: float = 4.0, size: int = 48
) -> list[Camera]:
    """Cameras around the scene at changing heights, all looking at its centre."""
    cameras = []
    for index in range(count):
        angle = 2.0 * np.pi * index / count
        eye = distance * np.array([np.cos(angle), np.sin(angle), 0.8 * np.sin(2.3 * angle)])
        camera = Camera.from_fov_y(look_at(eye, (0, 0, 0), (0, 0, 1)), size, size, fov)
        cameras.append(camera if lens is None else replace(camera, lens=lens))
    return cameras


def cell_centers() -> np.ndarray:
    cells = np.arange(RESOLUTION**3)
    places = np.stack([cells % RESOLUTION, cells // RESOLUTION % RESOLUTION, cells // RESOLUTION**2], -1)
    return (places + 0.5) * SIDE / RESOLUTION + LOW


def cells_with_matter(center: np.ndarray, radius: float) -> np.ndarray:
    """Cells whose cube meets the sphere."""
    half = SIDE / RESOLUTION / 2
    gaps = np.maximum(np.abs(cell_centers() - center) - half, 0.0)
    return (gaps**2).sum(-1) < radius**2


def hull_of(views: Views) -> np.ndarray:
    return possible_cells(views, low=LOW, side=SIDE, resolution=RESOLUTION).numpy()


@pytest.mark.parametrize("lens", [None, BENT, FISHEYE], ids=["pinhole", "opencv", "fisheye"])
@pytest.mark.parametrize(
    ("center", "radius"), [((0.1, -0.2, 0.15), 0.5), ((0.6, 0.6, -0.5), 0.12), ((-0.7, 0.2, 0.7), 0.05)]
)
def test_what_contains_matter_is_kept_and_what_is_far_is_not(
    center: tuple[float, float, float], radius: float, lens: Lens | None
) -> None:
    middle = np.array(center)
    views = [photograph(camera, middle, radius) for camera in ring(lens=lens)]
    assert all(bool(alpha.any()) for _, alpha in views)
    hull = hull_of(views)
    matter = cells_with_matter(middle, radius)
    assert not (matter & ~hull).any(), f"{(matter & ~hull).sum()} of {matter.sum()} cells are lost"
    # A pixel is 0.08 wide where the scene is, a cell's circumscribed sphere 0.054 in radius.
    far = np.linalg.norm(cell_centers() - middle, axis=1) > radius + 0.6
    assert hull[far].mean() < 0.02, f"{hull[far].mean():.3f} of what is far from all matter is kept"
    assert hull.mean() < 0.35


@settings(max_examples=60)
@given(
    seed=st.integers(0, 10_000),
    lens=st.sampled_from([PINHOLE, BENT, FISHEYE]),
    fov=st.floats(15.0, 100.0),
    distance=st.floats(0.2, 4.0),
)
def test_specks_that_a_picture_shows_are_kept(seed: int, lens: Lens, fov: float, distance: float) -> None:
    """A few specks of matter, each in one pixel of every picture that shows it; all else is transparent.

    Cameras stand outside and inside of the scene's box, and pictures cut off part of it.
    """
    generator = np.random.default_rng(seed)
    specks = generator.uniform(-1.0, 1.0, (20, 3))
    views, shown = [], np.zeros(len(specks), dtype=bool)
    for _ in range(2):
        eye = distance * generator.normal(size=3)
        pose = look_at(eye, generator.uniform(-0.7, 0.7, 3), (0.1, 0.2, 1.0))
        camera = replace(Camera.from_fov_y(pose, 160, 120, fov), lens=lens)
        pixels, _ = camera.project(specks)
        with np.errstate(invalid="ignore"):
            there = ((pixels > 0) & (pixels < (160, 120))).all(axis=1)
        columns, rows = pixels[there].astype(int).T
        alpha = torch.zeros(120, 160)
        alpha[rows, columns] = 1.0
        views.append((camera, alpha))
        shown |= there
    cells = np.floor((specks - LOW) / SIDE * RESOLUTION).astype(int) @ (1, RESOLUTION, RESOLUTION**2)
    lost = shown & ~hull_of(views)[cells]
    assert not lost.any(), f"lost {specks[lost]}"


def test_what_no_camera_sees_is_not_possible() -> None:
    """A narrow view of opaque pixels says nothing of what is beside the picture, or behind the camera."""
    camera = Camera.from_fov_y(look_at((0, -0.5, 0), (0, 1, 0), (0, 0, 1)), 32, 32, 30.0)
    hull = hull_of([(camera, torch.ones(32, 32))])
    centers = cell_centers()
    depth = centers[:, 1] + 0.5
    height = np.abs(centers[:, 2])
    assert hull[
        (depth > 0.2) & (np.hypot(centers[:, 0], centers[:, 2]) < depth * np.tan(np.radians(14.0)))
    ].all()
    assert not hull[depth < -0.4].any(), "behind the camera"
    assert not hull[(depth > 0.5) & (height > depth * np.tan(np.radians(15.0)) + 0.3)].any(), (
        "beside the picture"
    )


def test_transparent_pictures_leave_nothing() -> None:
    assert not hull_of([(camera, torch.zeros(48, 48)) for camera in ring()]).any()


def test_without_transparency_nothing_is_carved() -> None:
    assert hull_of([(camera, torch.ones(48, 48)) for camera in ring(fov=60.0)]).all()


@pytest.mark.parametrize("resolution", [8, 12, 31, 32])
def test_any_resolution_works(resolution: int) -> None:
    center, radius = np.array([0.1, 0.0, 0.0]), 0.4
    views = [photograph(camera, center, radius) for camera in ring(6)]
    hull = possible_cells(views, low=LOW, side=SIDE, resolution=resolution)
    assert hull.shape == (resolution**3,)
    cells = torch.arange(resolution**3)
    places = torch.stack([cells % resolution, cells // resolution % resolution, cells // resolution**2], -1)
    distance = ((places + 0.5) * SIDE / resolution - 1.0 - torch.from_numpy(center)).norm(dim=1)
    assert bool(hull[distance < radius].all())
    assert not bool(hull[distance > radius + 0.8].any())
