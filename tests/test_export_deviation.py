"""`export.parity.metrics` against slow, obvious loops."""

import math

import numpy as np
import pytest
import torch
from fixtures_export import tiny_info
from torchmetrics.functional.image import structural_similarity_index_measure

from export.parity.metrics import PSNR_CAP, image_metrics, ssim
from neurocity.contract import View
from neurocity.deviation import deviation, largest
from neurocity.errors import ExportError, ParityError
from neurocity.light import Light

VIEW = tiny_info().views[0]


def _random_render(count: int, seed: int) -> Light:
    generator = np.random.default_rng(seed)
    shapes = ((count, 3), (count,), (count,))
    return Light(*(generator.uniform(size=shape).astype(np.float32) for shape in shapes))


def test_errors_equal_a_loop_over_rays():
    got, expected = _random_render(50, 1), _random_render(50, 2)
    found = deviation(got, expected, scene_diagonal=2.5)
    rgb = [max(abs(float(got.rgb[r, c]) - float(expected.rgb[r, c])) for c in range(3)) for r in range(50)]
    depth = [
        abs(float(got.depth[r]) - float(expected.depth[r])) / 2.5 * float(expected.opacity[r])
        for r in range(50)
    ]
    assert found.rgb == pytest.approx(max(rgb), rel=1e-6)
    assert found.worst_ray == rgb.index(max(rgb))
    assert found.depth == pytest.approx(max(depth), rel=1e-5)
    opacity = [abs(float(a) - float(b)) for a, b in zip(got.opacity, expected.opacity, strict=True)]
    assert found.opacity == pytest.approx(max(opacity), rel=1e-6)
    assert largest(found) == max(found.rgb, found.opacity, found.depth)
    assert found.rgb_p999 <= found.rgb
    assert found.non_finite == 0


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("output", ["rgb", "depth", "opacity"])
def test_what_is_not_finite_is_counted_and_never_small(output: str, value: float):
    got, expected = _random_render(20, 3), _random_render(20, 3)
    getattr(got, output)[7] = value
    found = deviation(got, expected, 1.0)
    assert found.non_finite == (3 if output == "rgb" else 1)
    assert not largest(found) <= 1.0


def test_equal_nan_in_both_renders_is_not_equality():
    got = _random_render(20, 3)
    got.opacity[3] = math.nan
    found = deviation(got, got, 1.0)
    assert math.isnan(found.opacity)
    assert found.non_finite == 2


def test_another_shape_is_an_error_that_names_both():
    got, expected = _random_render(20, 3), _random_render(20, 3)
    flat = got._replace(depth=got.depth[:, None])
    with pytest.raises(ParityError, match=r"depth: got the shape \(20, 1\), expected \(20,\)"):
        deviation(flat, expected, 1.0)


def test_psnr_and_ssim():
    expected = np.random.default_rng(0).uniform(size=(16 * 14, 3)).astype(np.float32)
    equal = image_metrics(expected, expected, VIEW)
    assert equal == {"psnr_db": PSNR_CAP, "ssim": pytest.approx(1.0)}
    shifted = image_metrics(expected + np.float32(0.01), expected, VIEW)
    assert shifted["psnr_db"] == pytest.approx(40.0, abs=1e-3)  # 20 log10(1 / 0.01)
    assert 0.99 < shifted["ssim"] < 1.0
    mirrored = expected.reshape(14, 16, 3)[:, ::-1].reshape(-1, 3)
    assert image_metrics(mirrored, expected, VIEW)["ssim"] < 0.5
    broken = expected.copy()
    broken[5] = math.nan
    assert math.isnan(image_metrics(broken, expected, VIEW)["psnr_db"])


@pytest.mark.parametrize("noise", [0.0, 1e-4, 0.05, 0.5])
def test_ssim_equals_torchmetrics(noise: float):
    generator = np.random.default_rng(1)
    expected = generator.uniform(size=(31, 17, 3)).astype(np.float32)
    got = np.clip(expected + noise * generator.normal(size=expected.shape), 0, 1).astype(np.float32)
    planes = (torch.from_numpy(image).permute(2, 0, 1)[None].double() for image in (got, expected))
    theirs = structural_similarity_index_measure(*planes, data_range=1.0)
    assert ssim(got, expected) == pytest.approx(float(theirs), abs=1e-7)


def test_a_view_too_small_for_ssim_is_named():
    small = View(
        name="thumbnail",
        camera_to_world=VIEW.camera_to_world,
        width=10,
        height=30,
        fl_x=20.0,
        fl_y=20.0,
        cx=5.0,
        cy=15.0,
    )
    image = np.zeros((300, 3), dtype=np.float32)
    with pytest.raises(ExportError, match=r"'thumbnail' has 10 x 30 pixels, SSIM needs at least 11 x 11"):
        image_metrics(image, image, small)
