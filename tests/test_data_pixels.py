import numpy as np
import pytest
import torch
from dataset_files import (
    HEIGHT,
    INTRINSICS,
    WIDTH,
    frames,
    pixels,
    write_blender,
    write_image,
    write_transforms,
)

from neurocity.data.datasets import TrainingRays
from neurocity.data.load import load_scene
from neurocity.errors import DataError


def oracle(table_frames):
    """Rays, pixels and numbers of all frames, one frame after the other."""
    rays = [frame.camera.rays().arrays() for frame in table_frames]
    return (
        np.concatenate([origins for origins, _ in rays]),
        np.concatenate([directions for _, directions in rays]),
        np.concatenate([frame.camera.ray_radii()[:, None] for frame in table_frames]),
        np.concatenate([frame.load_image().reshape(-1, 4) for frame in table_frames]),
        np.repeat(range(len(table_frames)), [len(origins) for origins, _ in rays]),
    )


def mixed_sizes(root):
    """Three sizes in turns, and one camera (frame 4) whose principal point alone is different."""
    none = dict.fromkeys(INTRINSICS)
    entries = []
    for i, frame in enumerate(frames()):
        own = {"w": WIDTH + i % 3, "h": HEIGHT, "fl_x": 10.0, "fl_y": 11.0, "cx": 6.0 + (i == 4), "cy": 4.0}
        entries.append({**frame, **own, "k1": 0.1})
    write_transforms(root, {**none, "frames": entries})
    for i, entry in enumerate(entries):
        write_image(root / entry["file_path"], pixels(i, size=(entry["w"], HEIGHT)))
    return root


@pytest.mark.parametrize("write", [write_transforms, mixed_sizes, write_blender])
def test_any_pixels_have_the_rays_and_colours_of_their_frames(tmp_path, write):
    train = load_scene(write(tmp_path)).splits["train"]
    rays = TrainingRays(train)
    origins, directions, radii, rgba, views = oracle(train)
    assert rays.rgba.shape == (len(origins), 4)
    assert rays.starts[-1] == len(origins)
    assert rays.trainable is None
    chosen = np.random.default_rng(0).permutation(len(origins))
    drawn = rays.rays(torch.from_numpy(chosen))
    ray_origins, ray_directions, ray_radii, colors, view_index = (tensor.numpy() for tensor in drawn)
    assert ray_origins.dtype == ray_directions.dtype == np.float32
    np.testing.assert_array_equal(ray_origins, origins[chosen])
    np.testing.assert_allclose(ray_directions, directions[chosen], atol=2e-7)
    np.testing.assert_array_equal(ray_radii, radii[chosen])
    np.testing.assert_array_equal(colors, rgba[chosen])
    np.testing.assert_array_equal(view_index, views[chosen])


def test_directions_are_shared_by_equal_cameras(tmp_path):
    equal = TrainingRays(load_scene(write_transforms(tmp_path / "a")).splits["train"])
    assert len(equal.directions) == WIDTH * HEIGHT
    mixed = TrainingRays(load_scene(mixed_sizes(tmp_path / "b")).splits["train"])
    widths = [WIDTH, WIDTH + 1, WIDTH + 2, WIDTH + 1]
    assert len(mixed.directions) == sum(widths) * HEIGHT


def test_masks_become_one_flat_array(tmp_path):
    entries = [{**frame, "mask_path": f"masks/{i}.png"} for i, frame in enumerate(frames())]
    root = write_transforms(tmp_path, {"frames": entries})
    masks = np.random.default_rng(0).integers(0, 2, (10, HEIGHT, WIDTH)).astype(np.uint8)
    for i, mask in enumerate(masks):
        write_image(root / f"masks/{i}.png", 255 * mask)
    rays = TrainingRays(load_scene(root).splits["test"])
    np.testing.assert_array_equal(rays.trainable, np.flatnonzero(masks[[0, 8]]))


def test_errors_name_the_frame(tmp_path):
    with pytest.raises(DataError, match="no frames"):
        TrainingRays(())
    train = load_scene(write_transforms(tmp_path / "a")).splits["train"]
    train[2].image_path.write_bytes(train[2].image_path.read_bytes()[:100])
    with pytest.raises(DataError, match=r"frame 'images/003.png'"):
        TrainingRays(train)
    train = load_scene(write_transforms(tmp_path / "b", {"k1": -1.0})).splits["train"]
    with pytest.raises(DataError, match=r"images/001.png: frame 'images/001.png': .* has no ray for"):
        TrainingRays(train)
