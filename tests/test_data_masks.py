"""Masks of every kind, where they may lie, and what is said of those that do nothing."""

import numpy as np
import pytest
from dataset_files import (
    CAPTURE_SIZE,
    all_frames,
    named,
    numbered,
    write_capture,
    write_colmap,
    write_image,
    write_photographs,
)
from PIL import Image

from neurocity.data.datasets import TrainingRays
from neurocity.data.load import load_scene
from neurocity.data.masks import fit_mask, read_mask
from neurocity.errors import DataError

WIDTH, HEIGHT = CAPTURE_SIZE

EXCLUDED = np.zeros((HEIGHT, WIDTH), dtype=bool)
EXCLUDED[:10] = True
"""Rows 0 to 9, where every mask here excludes."""

ON = np.where(EXCLUDED, 0, 255).astype(np.uint8)


def rgba(colors, alpha):
    return Image.fromarray(np.dstack([colors, colors, colors, alpha]).astype(np.uint8))


def palette(index_of_black):
    image = Image.fromarray(np.where(EXCLUDED, index_of_black, 1 - index_of_black).astype(np.uint8))
    image = image.convert("P")
    colors = [(255, 0, 0), (255, 0, 0)]
    colors[index_of_black] = (0, 0, 0)
    image.putpalette(sum(colors, ()))
    return image


FULL = np.full_like(ON, 255)
PHOTOGRAPH = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH), dtype=np.uint8)
PICTURES = {
    "gray": Image.fromarray(ON),
    "zero and one": Image.fromarray(ON // 255),
    "1 bit": Image.fromarray(ON).convert("1"),
    "16 bit": Image.fromarray(np.where(EXCLUDED, 0, 7).astype(np.uint16)),
    "rgb": Image.fromarray(ON).convert("RGB"),
    "a colour": Image.fromarray(np.dstack([0 * ON, 0 * ON, ON // 255])),
    "palette": palette(0),
    "palette, black last": palette(1),
    "rgba, opaque": rgba(ON, FULL),
    "rgba, white, alpha is the mask": rgba(FULL, ON),
    "rgba, black, alpha is the mask": rgba(0 * ON, ON),
    "rgba, cut-out photograph": rgba(PHOTOGRAPH, ON),
    "rgba, drawn, with a transparent corner": rgba(ON, np.where(EXCLUDED & (np.arange(WIDTH) < 9), 0, 255)),
    "gray with alpha": rgba(FULL, ON).convert("LA"),
}


@pytest.mark.parametrize("kind", PICTURES)
def test_kinds_of_pictures(tmp_path, kind):
    PICTURES[kind].save(tmp_path / "m.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "m.png"), ~EXCLUDED)


@pytest.mark.parametrize("brightest", [255, 100])
def test_compression_does_not_make_black_trainable(tmp_path, brightest):
    image = Image.fromarray(
        np.kron(np.where(EXCLUDED, 0, brightest).astype(np.uint8), np.ones((8, 8), np.uint8))
    )
    image.save(tmp_path / "m.jpg", quality=30)
    np.testing.assert_array_equal(read_mask(tmp_path / "m.jpg"), np.kron(~EXCLUDED, np.ones((8, 8), bool)))


def test_masks_shrink_conservatively():
    mask = np.ones((4, 4), bool)
    mask[0, 3] = False
    np.testing.assert_array_equal(fit_mask(mask, 2, 2, 2), [[True, False], [True, True]])
    np.testing.assert_array_equal(fit_mask(mask, 2, 2, 1), [[True, False], [True, True]])
    np.testing.assert_array_equal(fit_mask(mask, 8, 8, 1), np.kron(mask, np.ones((2, 2), bool)))
    np.testing.assert_array_equal(fit_mask(mask, 4, 4, 1), mask)
    assert fit_mask(mask, 4, 3, 1) is None


def test_missing_and_corrupt_masks_are_named(tmp_path):
    with pytest.raises(DataError, match=r"m.png: image is missing"):
        read_mask(tmp_path / "m.png")
    (tmp_path / "m.png").write_text("no image")
    with pytest.raises(DataError, match=r"m.png: image cannot be read"):
        read_mask(tmp_path / "m.png")


def masks_of(scene):
    """The mask of each frame by its number; None where it has none."""
    return {int(frame.image_path.stem): frame.load_mask() for frame in all_frames(scene).values()}


def test_one_mask_for_all_at_top_level(tmp_path):
    write_capture(tmp_path, {"mask_path": "masks\\All.png"})
    write_photographs(tmp_path, numbered())
    write_image(tmp_path / "masks/all.png", ON)
    for mask in masks_of(load_scene(tmp_path)).values():
        np.testing.assert_array_equal(mask, ~EXCLUDED)
    other = named(numbered())
    other[3]["mask_path"] = "masks/other.png"
    write_capture(tmp_path, {"mask_path": "masks/all.png", "frames": other})
    write_image(tmp_path / "masks/other.png", 255 - ON)
    masks = masks_of(load_scene(tmp_path))
    np.testing.assert_array_equal(masks[3], EXCLUDED)
    np.testing.assert_array_equal(masks[4], ~EXCLUDED)


def test_masks_of_some_frames_alone(tmp_path):
    entries = named(numbered())
    entries[5]["mask_path"] = "masks/5.png"
    write_capture(tmp_path, {"frames": entries})
    write_photographs(tmp_path, numbered())
    write_image(tmp_path / "masks/5.png", ON)
    scene = load_scene(tmp_path)
    masks = masks_of(scene)
    np.testing.assert_array_equal(masks.pop(5), ~EXCLUDED)
    assert set(masks.values()) == {None}
    assert any("1 of 12 frames have a mask, the others are whole" in remark for remark in scene.remarks)


@pytest.mark.parametrize("layout", ["transforms", "colmap"])
def test_dynamic_masks_beside_images_exclude_what_is_not_black(tmp_path, layout):
    if layout == "colmap":
        write_colmap(tmp_path, [f"{i:04}.png" for i in range(12)])
    else:
        write_capture(tmp_path)
    write_photographs(tmp_path, numbered())
    unmasked = load_scene(tmp_path).fingerprint()
    for i in range(1, 12, 2):
        write_image(tmp_path / f"images/dynamic_mask_{i:04}.png", 255 - ON)
    scene = load_scene(tmp_path)
    masks = masks_of(scene)
    assert len(masks) == 12
    for index, mask in masks.items():
        if index % 2:
            np.testing.assert_array_equal(mask, ~EXCLUDED)
        else:
            assert mask is None
    assert scene.fingerprint() != unmasked
    rays = TrainingRays([frame for frame in scene.splits["train"] if int(frame.image_path.stem) == 1])
    np.testing.assert_array_equal(rays.trainable, np.flatnonzero(~EXCLUDED))


def test_a_dynamic_mask_and_a_mask_exclude_both(tmp_path):
    write_capture(tmp_path, {"mask_path": "m.png"})
    write_photographs(tmp_path, numbered())
    write_image(tmp_path / "m.png", ON)
    dynamic = np.zeros_like(ON)
    dynamic[:, :5] = 255
    write_image(tmp_path / "images/dynamic_mask_0002.png", dynamic)
    np.testing.assert_array_equal(masks_of(load_scene(tmp_path))[2], ~EXCLUDED & (dynamic == 0))


@pytest.mark.parametrize("style", ["masks/{}.png.png", "masks/{}.png", "masks/{}.jpg"])
def test_masks_of_colmap(tmp_path, style):
    write_colmap(tmp_path, [f"left/{i:04}.png" for i in range(12)])
    write_photographs(tmp_path, numbered("images/left"))
    for i in range(11):
        write_image(tmp_path / style.format(f"left/{i:04}"), ON)
    scene = load_scene(tmp_path)
    masks = masks_of(scene)
    assert masks.pop(11) is None
    for mask in masks.values():
        expected = ~EXCLUDED if not style.endswith("jpg") else mask
        np.testing.assert_array_equal(mask, expected)
        assert abs(mask.mean() - 26 / 36) < 0.05
    assert any("11 of 12 images have a mask in masks/" in remark for remark in scene.remarks)


@pytest.mark.parametrize("folder", ["..", "absolute"])
def test_an_image_is_not_its_own_mask(tmp_path, folder):
    root = "../images" if folder == ".." else str(tmp_path / "images")
    write_colmap(tmp_path, [f"{root}/{i:04}.png" for i in range(12)])
    write_photographs(tmp_path, numbered())
    (tmp_path / "masks").mkdir()
    assert set(masks_of(load_scene(tmp_path)).values()) == {None}


def test_masks_of_reduced_images(tmp_path):
    names = [f"masks/{i:04}.png" for i in range(12)]
    entries = named(numbered(), mask_path=lambda i: names[i])
    write_capture(tmp_path, {"w": 192, "h": 144, "frames": entries})
    write_photographs(tmp_path, numbered("images_4"))
    large = np.kron(ON, np.ones((4, 4), np.uint8))
    for name in names:
        write_image(tmp_path / name, large)
    for mask in masks_of(load_scene(tmp_path, downscale=4)).values():
        np.testing.assert_array_equal(mask, ~EXCLUDED)
    (tmp_path / "masks").rename(tmp_path / "kept")
    for i in range(12):
        write_image(tmp_path / f"masks_4/{i:04}.png", ON)
    for mask in masks_of(load_scene(tmp_path, downscale=4)).values():
        np.testing.assert_array_equal(mask, ~EXCLUDED)
    halved = masks_of(load_scene(tmp_path, downscale=8))[3]
    np.testing.assert_array_equal(halved, ~EXCLUDED[::2, ::2])


def test_a_mask_of_another_shape_is_refused(tmp_path):
    write_capture(tmp_path, {"mask_path": "m.png"})
    write_photographs(tmp_path, numbered())
    write_image(tmp_path / "m.png", ON.T)
    with pytest.raises(DataError, match=r"m.png: frame 'images/\d+.png': is 36x48 pixels .* has 48x36"):
        load_scene(tmp_path)


def test_dynamic_masks_of_reduced_images(tmp_path):
    write_capture(tmp_path, {"w": 192, "h": 144})
    write_photographs(tmp_path, numbered("images_4"))
    write_image(tmp_path / "images_4/dynamic_mask_0001.png", 255 - ON)
    write_image(tmp_path / "images/dynamic_mask_0002.png", 255 - np.kron(ON, np.ones((4, 4), np.uint8)))
    masks = masks_of(load_scene(tmp_path, downscale=4))
    for index in (1, 2):
        np.testing.assert_array_equal(masks[index], ~EXCLUDED)
    assert masks[3] is None


@pytest.mark.parametrize(("value", "words"), [(0, "every pixel"), (255, "no pixel")])
def test_masks_that_exclude_everything_or_nothing_are_said(tmp_path, value, words):
    write_capture(tmp_path, {"frames": named(numbered(), mask_path=lambda i: f"masks/{i}.png")})
    write_photographs(tmp_path, numbered())
    for i in range(12):
        write_image(tmp_path / f"masks/{i}.png", np.full_like(ON, value) if i in (3, 4) else ON)
    (remark,) = [remark for remark in load_scene(tmp_path).remarks if "exclude" in remark]
    assert remark.startswith(f"masks exclude {words} of 2 of 12 frames that were looked at: ")
    assert "'images/0003.png', 'images/0004.png'; black is" in remark


def test_masks_that_leave_nothing_to_train_on_are_an_error(tmp_path):
    write_capture(tmp_path, {"mask_path": "m.png"})
    write_photographs(tmp_path, numbered())
    write_image(tmp_path / "m.png", np.zeros_like(ON))
    scene = load_scene(tmp_path)
    with pytest.raises(DataError, match=r"m.png: the masks of all frames exclude every pixel"):
        TrainingRays(scene.splits["train"], scene=scene)


def test_a_folder_of_masks_that_nothing_names_is_said(tmp_path):
    write_capture(tmp_path)
    write_photographs(tmp_path, numbered())
    write_image(tmp_path / "masks/0001.png", ON)
    assert any(
        "masks is not used: no frame has a `mask_path`" in remark for remark in load_scene(tmp_path).remarks
    )
