"""Golden files: what they hold, how large they are, and what is refused on reading."""

import io

import numpy as np
import pytest
from fixtures_export import TINY_BOUNDS, tiny_info
from tiny_field import TinyField

from export.parity.golden import HELD_OUT_RAYS, VIEW_PIXELS, golden_files, golden_view, read_render
from export.parity.pictures import decode_png
from export.parity.rays import adversarial_rays, view_rays
from export.parity.reference import Reference
from neurocity.cameras import Camera
from neurocity.errors import ManifestError
from neurocity.golden import read_rays
from neurocity.light import Light, over_background, to_bytes

INFO = tiny_info()


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    kept = tmp_path_factory.mktemp("views")
    return Reference(TinyField(TINY_BOUNDS), device="cpu", rays_per_call=4096, kept=kept)


def test_rays_are_kept_with_the_answers_of_the_model(reference):
    golden, files = golden_files(reference, INFO, worst_view=1)
    found = read_rays(files[golden.rays.name], golden.rays.name)
    assert set(found) == {*adversarial_rays(INFO.bounds), "held-out rays"}
    for name, rays in adversarial_rays(INFO.bounds).items():
        np.testing.assert_array_equal(found[name].rays.origins, rays.origins)
    for rays, rendered in found.values():
        for got, expected in zip(rendered, reference.render(rays), strict=True):
            np.testing.assert_array_equal(got, expected)
    sample = found["held-out rays"].rays
    assert sample.origins.shape == (HELD_OUT_RAYS, 3)
    for view in INFO.views:
        of_view = (sample.origins == view_rays(view).origins[0]).all(axis=1)
        assert 0.25 < of_view.mean() < 0.42  # a third


def test_every_view_is_a_picture_and_the_worst_one_is_exact(reference):
    golden, files = golden_files(reference, INFO, worst_view=1)
    assert [entry.view for entry in golden.views] == [0, 1, 2]
    for entry in golden.views:
        view = INFO.views[entry.view]
        rendered = reference.render_view(entry.view, view)
        shown = to_bytes(over_background(rendered.rgb, rendered.opacity, INFO.background)).reshape(14, 16, 3)
        np.testing.assert_array_equal(decode_png(files[entry.image.name], ""), shown)
        assert (entry.arrays is not None) == (entry.view == 1)
        if entry.arrays is not None:
            for got, expected in zip(read_render(files[entry.arrays.name], ""), rendered, strict=True):
                np.testing.assert_array_equal(got, expected)
    assert set(files) == {
        "golden/rays.npz",
        "golden/000_r_0.png",
        "golden/001_r_1.png",
        "golden/001_r_1.npz",
        "golden/002_r_2.png",
    }


def test_equal_models_give_equal_files(reference):
    assert golden_files(reference, INFO, worst_view=0) == golden_files(reference, INFO, worst_view=0)


@pytest.mark.parametrize(("worst", "kept"), [(0, [0, 1, 4, 7]), (7, [0, 3, 6, 7]), (9, [0, 3, 6, 9])])
def test_of_many_large_views_a_few_are_kept_in_few_pixels(reference, worst: int, kept: list[int]):
    large = Camera.from_view(INFO.views[0]).resized(1200, 800)
    views = tuple(large.to_view(f"view {index}") for index in range(10))
    golden, files = golden_files(reference, tiny_info(views=views), worst_view=worst)
    assert [entry.view for entry in golden.views] == kept
    for entry in golden.views:
        assert (entry.width, entry.height) == (313, 209)
        assert decode_png(files[entry.image.name], "").shape == (209, 313, 3)
    assert sum(map(len, files.values())) < 4 * 2**20


def test_a_reduced_view_sees_the_same():
    large = Camera.from_view(INFO.views[0]).resized(1600, 1400).to_view("large")
    small = golden_view(large)
    assert small.width * small.height <= VIEW_PIXELS
    assert golden_view(INFO.views[0]) == INFO.views[0]
    corners = [view_rays(view).directions[[0, -1]] for view in (large, small)]
    np.testing.assert_allclose(*corners, atol=2e-3)


def test_what_does_not_fit_together_is_refused(reference):
    golden, files = golden_files(reference, INFO, worst_view=0)
    data = files[golden.rays.name]
    for broken in (b"", b"no archive", data[: len(data) // 2]):
        with pytest.raises(ManifestError, match=r"rays\.npz: cannot be read as golden arrays"):
            read_rays(broken, "rays.npz")
    with np.load(io.BytesIO(data)) as loaded:
        arrays = dict(loaded)
    for change in ({"rgb": arrays["rgb"][:-1]}, {"counts": arrays["counts"] + 1}):
        file = io.BytesIO()
        np.savez(file, **(arrays | change))
        with pytest.raises(ManifestError, match="do not fit each other"):
            read_rays(file.getvalue(), "rays.npz")
    file = io.BytesIO()
    np.savez(file, **{name: np.array([{}], dtype=object) for name in Light._fields})
    with pytest.raises(ManifestError, match="cannot be read"):
        read_render(file.getvalue(), "view.npz")  # objects would be unpickled, which runs code
