"""Batches of training rays and whole views, against the cameras and images that they come from."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from dataset_files import pixels, write_image, write_transforms
from torch.utils.data import DataLoader

from neurocity.data.datasets import TrainingRays, Views, uncollated
from neurocity.data.load import load_scene
from neurocity.data.scene import Frame
from neurocity.errors import DataError


@pytest.fixture
def frames(tmp_path: Path) -> tuple[Frame, ...]:
    return load_scene(write_transforms(tmp_path / "set", channels=4), bounds=(-1, -1, -1, 1, 1, 1)).splits[
        "train"
    ]


def known_pixels(frames: tuple[Frame, ...]) -> dict[tuple[float, ...], tuple[np.ndarray, ...]]:
    """Origin, direction and rgba of every pixel, by origin and colour, which together are unique here."""
    known = {}
    for frame in frames:
        origins, directions = frame.camera.rays().arrays()
        rgba = frame.load_image().reshape(-1, 4)
        for origin, direction, color in zip(origins, directions, rgba, strict=True):
            known[(*origin.tolist(), *color.tolist())] = (direction,)
    return known


def test_every_ray_of_a_batch_is_the_ray_of_its_pixel(frames: tuple[Frame, ...]) -> None:
    batch = TrainingRays(frames, seed=3).batch(5, 400)
    known = known_pixels(frames)
    assert len(known) == sum(frame.camera.width * frame.camera.height for frame in frames)
    seen = set()
    for origin, direction, color in zip(
        batch["ray_origins"], batch["ray_directions"], batch["rgba"], strict=True
    ):
        key = (*origin.tolist(), *(color * 255.0).round().int().tolist())
        np.testing.assert_allclose(direction.numpy(), known[key][0], atol=1e-6)
        seen.add(key)
    assert len(seen) > 250, "drawn from all pixels: of 960, 400 draws meet 327 on average"
    assert {key[:3] for key in seen} == {key[:3] for key in known}, "and from all frames"
    assert {name: tuple(value.shape) for name, value in batch.items()} == {
        "ray_origins": (400, 3),
        "ray_directions": (400, 3),
        "ray_radii": (400, 1),
        "rgba": (400, 4),
        "view_index": (400,),
        "noise": (400, 4),
    }
    assert float(batch["noise"].min()) >= 0.0
    assert float(batch["noise"].max()) < 1.0


def test_a_batch_depends_on_seed_and_step_alone(frames: tuple[Frame, ...]) -> None:
    rays = TrainingRays(frames, seed=3)
    first = rays.batch(7, 50)
    rays.batch(8, 70)
    again, fresh = rays.batch(7, 50), TrainingRays(frames, seed=3).batch(7, 50)
    for name in first:
        assert torch.equal(first[name], again[name])
        assert torch.equal(first[name], fresh[name])
    for other in (rays.batch(8, 50), TrainingRays(frames, seed=4).batch(7, 50)):
        assert not torch.equal(first["noise"], other["noise"])
        assert not torch.equal(first["ray_directions"], other["ray_directions"])


def test_masked_pixels_are_never_drawn(tmp_path: Path) -> None:
    root = write_transforms(tmp_path / "set", channels=4)
    mask = np.zeros((8, 12), dtype=np.uint8)
    mask[:, 5] = 255
    document = json.loads((root / "transforms.json").read_text())
    for index, frame in enumerate(document["frames"]):
        frame["mask_path"] = f"masks/{index}.png"
        write_image(root / frame["mask_path"], mask)
    (root / "transforms.json").write_text(json.dumps(document))
    frames = load_scene(root, bounds=(-1, -1, -1, 1, 1, 1)).splits["train"]
    allowed = {tuple(color) for frame in frames for color in frame.load_image()[:, 5].tolist()}
    for side in (1, 3):
        batch = TrainingRays(frames).batch(0, 300, side)
        drawn = {tuple(color) for color in (batch["rgba"] * 255.0).round().int().tolist()}
        assert drawn <= allowed
        assert len(drawn) > 40


def test_batches_work_in_a_plain_dataloader(frames: tuple[Frame, ...]) -> None:
    rays = TrainingRays(frames, batches=3, rays_per_batch=16)
    batches = list(DataLoader(rays, batch_size=None))
    assert [batch["rgba"].shape for batch in batches] == [(16, 4)] * 3
    assert not torch.equal(batches[0]["noise"], batches[1]["noise"])


def test_parts_of_a_batch_make_the_batch(frames: tuple[Frame, ...]) -> None:
    rays = TrainingRays(frames, seed=3)
    whole, parts = rays.batch(5, 48), [rays.part(rank, 3).batch(5, 46) for rank in range(3)]
    for name, value in whole.items():
        assert torch.equal(torch.cat([part[name] for part in parts]), value), name  # type: ignore[literal-required]


def test_rays_tell_what_is_known_of_the_scene(frames: tuple[Frame, ...]) -> None:
    rays = TrainingRays(frames)
    assert rays.points is None
    for (camera, alpha), frame in zip(rays.alpha_views(), frames, strict=True):
        assert camera is frame.camera
        assert np.array_equal((alpha * 255.0).round().numpy().astype(np.uint8), frame.load_image()[..., 3])
    assert rays.unbounded == all((frame.load_image()[..., 3] == 255).all() for frame in frames)


def test_the_batch_axis_of_a_loader_is_taken_off(frames: tuple[Frame, ...]) -> None:
    rays, views = TrainingRays(frames, batches=4, rays_per_batch=16), Views(frames)
    (joined,) = (uncollated(batch) for batch in DataLoader(rays, batch_size=4))
    for name in joined:
        items = [rays[index][name] for index in range(4)]  # type: ignore[literal-required]
        assert torch.equal(joined[name], torch.cat(items)), name
    view = uncollated(next(iter(DataLoader(views, batch_size=1))))
    assert (int(view["height"]), int(view["width"]), view["name"]) == (8, 12, frames[0].name)
    assert torch.equal(view["rgba"], views[0]["rgba"])
    bare = views[0]
    assert all(value is bare[name] for name, value in uncollated(bare).items())  # type: ignore[literal-required]
    with pytest.raises(DataError, match="got 2 views in a batch, expected one"):
        uncollated(next(iter(DataLoader(views, batch_size=2))))


def test_views_are_whole_frames_row_by_row(frames: tuple[Frame, ...]) -> None:
    views = Views(frames)
    assert len(views) == len(frames)
    view, frame = views[1], frames[1]
    origins, directions = frame.camera.rays().arrays()
    assert np.array_equal(view["ray_origins"].numpy(), origins)
    assert np.array_equal(view["ray_directions"].numpy(), directions)
    assert (view["height"], view["width"], view["name"]) == (8, 12, frame.name)
    image = (view["rgba"] * 255.0).round().view(8, 12, 4).numpy().astype(np.uint8)
    assert np.array_equal(image, frame.load_image())
    assert any(np.array_equal(image, pixels(index, 4)) for index in range(10))


def test_squares_hold_neighbouring_pixels_and_all_pixels_alike(frames: tuple[Frame, ...]) -> None:
    rays = TrainingRays(frames, seed=3)
    square = rays._draw_squares(9, 3, torch.Generator().manual_seed(0))
    rows, columns = square % 96 // 12, square % 12
    assert torch.equal(rows.view(3, 3), (rows[0] + torch.arange(3)[:, None]).expand(3, 3) % 8)
    assert torch.equal(columns.view(3, 3), (columns[0] + torch.arange(3)).expand(3, 3) % 12)
    assert len(set((square // 96).tolist())) == 1
    drawn = rays._draw_squares(90_000, 3, torch.Generator().manual_seed(0))
    times = torch.bincount(drawn, minlength=len(rays.rgba)).double() * len(rays.rgba) / len(drawn)
    assert times.min() > 0.5
    assert times.max() < 1.5, "a pixel at a border as often as one in the middle"


def test_a_batch_of_squares_has_the_size_that_is_asked_for(frames: tuple[Frame, ...]) -> None:
    batch = TrainingRays(frames, seed=3).batch(5, 50, 3)
    assert batch["rgba"].shape == (50, 4)
    assert torch.equal(batch["ray_origins"][0].expand(9, 3), batch["ray_origins"][:9])
