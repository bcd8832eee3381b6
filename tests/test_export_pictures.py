"""Heat maps and the sheet of the worst view show what differs, where, and how much."""

import math
import os
import tempfile

import numpy as np
import pytest
from fixtures_export import tiny_info

from export.checks import equal
from export.parity.gate import ParityReport
from export.parity.pictures import (
    WORST_VIEW,
    ErrorPictures,
    decode_png,
    file_stem,
    keep_pictures,
    scale_colours,
)
from neurocity.cameras import Camera
from neurocity.errors import ManifestError, ParityError
from neurocity.light import Light, to_bytes
from neurocity.pictures.png import encode_png

VIEW = tiny_info().views[0]
TIMES = 15
"""How often the 16 pixels of a row are repeated to be 240 wide."""


def _render(count: int = 16 * 14, seed: int = 0) -> Light:
    generator = np.random.default_rng(seed)
    shapes = ((count, 3), (count,), (count,))
    return Light(*(generator.uniform(0.2, 0.8, size=shape).astype(np.float32) for shape in shapes))


def _pictures(got: Light, expected: Light, psnr_db: float = 50.0, view=VIEW) -> dict[str, np.ndarray]:
    pictures = ErrorPictures((1.0, 1.0, 1.0))
    pictures.add(0, view, got, expected, psnr_db)
    return {name: decode_png(data, name) for name, data in pictures.files.items()}


def test_a_wrong_pixel_is_the_bright_one():
    expected = _render()
    got = expected._replace(rgb=expected.rgb.copy())
    got.rgb[5 * 16 + 9] += 0.25
    heat = _pictures(got, expected)["parity/000_r_0.png"][: 14 * TIMES, : 16 * TIMES]
    bright = heat.sum(axis=2) > 0
    assert bright[5 * TIMES : 6 * TIMES, 9 * TIMES : 10 * TIMES].all()
    assert bright.sum() == TIMES**2
    np.testing.assert_array_equal(heat[5 * TIMES, 9 * TIMES], scale_colours(np.array(1.0)))


def test_the_maximum_of_the_scale_is_written_into_the_picture():
    expected = _render()
    errors = [expected._replace(rgb=expected.rgb + np.float32(error)) for error in (0.25, 0.025)]
    one, other = (_pictures(got, expected)["parity/000_r_0.png"] for got in errors)
    np.testing.assert_array_equal(one[: 14 * TIMES], other[: 14 * TIMES])  # the same share of the maximum
    assert (one[14 * TIMES :] != other[14 * TIMES :]).any()


def test_a_single_pixel_of_a_large_view_is_not_lost_in_a_smaller_picture():
    view = Camera.from_view(VIEW).resized(900, 810).to_view("wide")
    expected = _render(900 * 810)
    got = expected._replace(rgb=expected.rgb.copy())
    got.rgb[700 * 900 + 41] += 0.1
    heat = _pictures(got, expected, view=view)["parity/000_wide.png"]
    assert heat.shape[1] == 300
    assert heat[700 // 3, 41 // 3].sum() > 600
    assert (heat[:270].sum(axis=2) > 0).sum() == 1


def test_the_sheet_shows_the_worst_view_only():
    expected, got = _render(), _render(seed=1)
    pictures = ErrorPictures(None)
    sheets = []
    for index, psnr_db in enumerate((50.0, 40.0, 45.0, math.nan, 30.0)):
        pictures.add(index, VIEW, got, expected, psnr_db)
        sheets.append(pictures.files[WORST_VIEW])
    assert sheets[0] != sheets[1] == sheets[2] != sheets[3] == sheets[4]
    assert len(pictures.files) == 6
    sheet = decode_png(sheets[0], WORST_VIEW)
    model = sheet[16 : 16 + 14 * TIMES : TIMES, : 16 * TIMES : TIMES]
    np.testing.assert_array_equal(model, to_bytes(expected.rgb.reshape(14, 16, 3)))
    artefact = sheet[16 : 16 + 14 * TIMES : TIMES, 248 : 248 + 16 * TIMES : TIMES]
    np.testing.assert_array_equal(artefact, to_bytes(got.rgb.reshape(14, 16, 3)))


def test_values_that_are_not_numbers_are_drawn_as_the_largest():
    assert (scale_colours(np.array([np.nan, 1.0]))[0] == scale_colours(np.array([1.0]))).all()
    assert to_bytes(np.array([np.nan, 0.5, 2.0], dtype=np.float32)).tolist() == [0, 128, 255]


def test_names_of_views_become_names_of_files():
    view = Camera.from_view(VIEW).to_view("../test/r 5\u00e4")
    assert file_stem(12, view) == "012_test_r_5"


def test_a_file_that_is_no_png_is_named():
    pixels = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    data = encode_png(pixels)
    np.testing.assert_array_equal(decode_png(data, "x.png"), pixels)
    for broken in (data[:40], b"not a picture"):
        with pytest.raises(ManifestError, match=r"x\.png: cannot be read as a PNG"):
            decode_png(broken, "x.png")


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """The folder of temporary files, empty."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def _report(passed: bool) -> ParityReport:
    expected, got = _render(), _render(seed=1)
    pictures = ErrorPictures(None)
    pictures.add(0, VIEW, got, expected, 20.0)
    checks = (equal("size", "r_0", 1, 1 if passed else 2),)
    return ParityReport(checks=checks, record={}, pictures=pictures.files, worst_view=0)


def test_a_refused_artefact_leaves_its_pictures_and_says_where(temporary):
    with pytest.raises(ParityError) as raised:
        _report(passed=False).require("scene_onnx_fp16")
    folder = temporary / f"neurocity-parity-{os.getuid()}" / "scene_onnx_fp16"
    assert str(raised.value).splitlines() == [
        "1 of 1 checks failed, nothing was shipped",
        "  r_0: size: got 1, expected 2",
        f"  pictures of what differs are in {folder}",
    ]
    assert {path.name for path in folder.iterdir()} == {"000_r_0.png", "worst_view.png"}
    assert (folder / "worst_view.png").read_bytes() == _report(passed=False).pictures[WORST_VIEW]
    assert folder.parent.stat().st_mode & 0o077 == 0


@pytest.mark.usefixtures("temporary")
def test_pictures_of_an_earlier_failure_are_replaced():
    first = keep_pictures({"parity/000_old.png": b"old"}, "scene_onnx")
    other = keep_pictures({"parity/000_old.png": b"old"}, "scene_onnx_fp16")
    assert keep_pictures({"parity/000_new.png": b"new"}, "scene_onnx") == first
    assert [path.name for path in first.iterdir()] == ["000_new.png"]
    assert [path.name for path in other.iterdir()] == ["000_old.png"]


def test_an_artefact_that_passes_leaves_nothing(temporary):
    _report(passed=True).require("scene_onnx")
    assert list(temporary.iterdir()) == []


def test_pictures_that_cannot_be_kept_do_not_hide_the_failure(temporary):
    elsewhere = temporary / "elsewhere"
    elsewhere.mkdir()
    (temporary / f"neurocity-parity-{os.getuid()}").symlink_to(elsewhere)
    with pytest.raises(ParityError, match=r"(?s)size: got 1.*cannot be kept: .*is not a folder of this user"):
        _report(passed=False).require("scene_onnx")
    assert list(elsewhere.iterdir()) == []
