"""A graph that takes the radii of cones is compared with them, at the sizes at which they differ."""

import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from fixtures_export import TINY_BOUNDS, tiny_info
from tiny_field import TinyConeField

from export.job.inspect import worst_figures
from export.parity.compare import view_checks
from export.parity.gate import ParityGate
from export.parity.golden import golden_files
from export.parity.rays import adversarial_rays, view_rays
from export.parity.reference import Reference
from export.parity.tolerances import FP32
from export.parity.verify import verify
from export.repository.report import markdown
from neurocity.cameras import Camera, Rays
from neurocity.contract import ArtefactFile, SceneManifest, ray_inputs
from neurocity.errors import ManifestError, ParityError
from neurocity.golden import read_rays
from neurocity.light import Light
from neurocity.model_repository import Version

VIEWS = tuple(Camera.from_view(view).resized(90, 88).to_view(view.name) for view in tiny_info().views[:2])
INFO = tiny_info(views=VIEWS)
MODEL = TinyConeField(TINY_BOUNDS, float(view_rays(VIEWS[0], radii=True).radii.mean()))


def _eager(rays: Rays) -> Light:
    with torch.inference_mode():
        outputs = MODEL(*map(torch.from_numpy, rays.arrays()))
    return Light(*(output.numpy() for output in outputs))


def _blind(rays: Rays) -> Light:
    """As an artefact that was exported with the mean radius of its training cameras, whatever comes."""
    return _eager(replace(rays, radii=np.zeros_like(rays.radii)))


def _blind_to_cameras(rays: Rays) -> Light:
    """Wrong only for the radii that cameras have: the adversarial rays cannot tell."""
    radii = np.where(np.isin(rays.radii, ADVERSARIAL), rays.radii, 0)
    return _eager(replace(rays, radii=radii))


ADVERSARIAL = np.unique(next(iter(adversarial_rays(INFO.bounds, radii=True).values())).radii)


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    kept = tmp_path_factory.mktemp("views")
    return Reference(MODEL, device="cpu", rays_per_call=4096, kept=kept)


def _verify(reference, render, info=INFO):
    return ParityGate(reference, info).verify(render, FP32, lambda *_: None, rays_per_call=4096)


def test_the_model_itself_passes_at_every_size(reference):
    report = _verify(reference, _eager)
    assert all(check.passed for check in report.checks)
    assert [row["view"] for row in report.record["scales"]] == [
        f"{view} at {scale}" for view in ("r_0", "r_1") for scale in ("1/2", "1/4", "1/8")
    ]
    assert [(row["width"], row["height"]) for row in report.record["scales"][:3]] == [
        (45, 44),
        (22, 22),
        (11, 11),
    ]
    assert report.record["skipped_scales"] == []
    assert all(row["psnr_db"] > 120 for row in report.record["scales"])


@pytest.mark.parametrize("render", [_blind, _blind_to_cameras])
def test_an_artefact_that_ignores_radii_is_refused(reference, render):
    """Its views of the size of the training are as they should be: smaller ones are not."""
    report = _verify(reference, render)
    failed = {(check.where, check.name) for check in report.checks if not check.passed}
    assert not any(where in ("view r_0", "view r_1") for where, _ in failed)
    worst = min(report.record["scales"], key=lambda row: row["psnr_db"])
    assert worst["view"].endswith(" at 1/8")
    assert (f"view {worst['view']}", "psnr_db") in failed
    assert report.record["scales"][0]["psnr_db"] > worst["psnr_db"]
    if render is _blind:
        assert ("from afar", "opacity error") in failed


def test_an_artefact_that_takes_zero_for_a_radius_is_refused(reference):
    def render(rays: Rays) -> Light:
        return _eager(replace(rays, radii=np.maximum(rays.radii, 1e-12)))

    failed = [check for check in _verify(reference, render).checks if not check.passed]
    assert failed
    assert all(check.where in adversarial_rays(INFO.bounds) for check in failed)


def test_a_size_too_small_for_ssim_is_said(reference):
    views = (Camera.from_view(VIEWS[0]).resized(40, 60).to_view("small"),)
    report = _verify(reference, _eager, tiny_info(views=views))
    assert [row["view"] for row in report.record["scales"]] == ["small at 1/2"]
    assert report.record["skipped_scales"] == [
        "'small at 1/4' has 10 x 15 pixels, SSIM needs at least 11 x 11",
        "'small at 1/8' has 5 x 7 pixels, SSIM needs at least 11 x 11",
    ]


def test_adversarial_rays_have_radii_of_every_kind():
    plain, cones = (adversarial_rays(INFO.bounds, radii=radii) for radii in (False, True))
    for name, rays in cones.items():
        assert plain[name].radii is None
        np.testing.assert_array_equal(rays.origins, plain[name].origins)
        np.testing.assert_array_equal(rays.directions, plain[name].directions)
        assert rays.radii.shape == (len(rays), 1)
        assert rays.radii.dtype == np.float32
        values, counts = np.unique(rays.radii, return_counts=True)
        assert (values.min(), len(values)) == (0.0, 4)
        assert counts.min() >= len(rays) // 4


def test_golden_rays_have_radii_and_every_size(reference):
    golden, files = golden_files(reference, INFO, worst_view=1)
    found = read_rays(files[golden.rays.name], golden.rays.name, radii=True)
    sizes = {f"held-out rays{size}" for size in ("", " at 1/2", " at 1/4", " at 1/8")}
    assert set(found) == {*adversarial_rays(INFO.bounds), *sizes}
    for rays, rendered in found.values():
        assert rays.radii is not None
        for got, expected in zip(rendered, _eager(rays), strict=True):
            np.testing.assert_allclose(got, expected, atol=1e-6)
    means = [float(found[f"held-out rays{size}"].rays.radii.mean()) for size in ("", " at 1/8")]
    assert means[1] / means[0] == pytest.approx(8, rel=0.05)


@pytest.fixture
def tiny_manifest() -> SceneManifest:
    file = ArtefactFile(name="model.onnx", sha256="a" * 64, bytes=3)
    about = {"scene": "tiny", "version": 1, "family": "tiny", "format": "onnx", "precision": "fp32"}
    return SceneManifest(**about, checkpoint_sha256="1" * 64, artefact=file, info=INFO)


@pytest.fixture
def shipped(reference, tiny_manifest, tmp_path) -> Version:
    """A version folder with what verifying needs: a manifest and golden files."""
    record = _verify(reference, _eager).record
    golden, files = golden_files(reference, INFO, worst_view=1)
    manifest = replace(tiny_manifest, parity=record, golden=golden, inputs=ray_inputs(True))
    (tmp_path / "golden").mkdir()
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    return Version(path=tmp_path, manifest=manifest)


def test_the_proof_is_repeated_with_radii_from_golden_files(shipped):
    assert all(check.passed for check in verify(_eager, shipped))


@pytest.mark.parametrize("render", [_blind, _blind_to_cameras])
def test_golden_files_find_an_artefact_that_ignores_radii(shipped, render):
    failed = {check.where for check in verify(render, shipped) if not check.passed}
    assert {f"held-out rays at 1/{scale}" for scale in (2, 4, 8)} <= failed
    assert not {"held-out rays", "view r_1"} & failed


def test_golden_rays_without_radii_are_refused_where_the_graph_takes_them(shipped):
    plain = replace(shipped, manifest=replace(shipped.manifest, inputs=ray_inputs(False)))
    with pytest.raises(ParityError, match="cannot render"):
        verify(_eager, plain)
    with np.load(shipped.path / "golden/rays.npz") as arrays:
        file = io.BytesIO()
        np.savez(file, **{name: arrays[name] for name in arrays if name != "radii"})
    with pytest.raises(ManifestError, match="radii"):
        read_rays(file.getvalue(), "rays.npz", radii=True)


def test_the_worst_size_is_the_one_that_a_check_names():
    row = {"rgb": 0.0, "rgb_p999": 0.0, "opacity": 0.0, "depth": 0.0, "non_finite": 0, "ssim": 1.0}
    rows = [row | {"view": "r_0 at 1/2", "psnr_db": 80.0}, row | {"view": "r_0 at 1/4", "psnr_db": 50.0}]
    failed = [check for check in view_checks(rows, FP32) if not check.passed]
    assert [str(check) for check in failed] == ["view r_0 at 1/4: psnr_db: got 50, expected at least 60"]


def test_the_report_shows_every_size_and_what_was_skipped(reference, tiny_manifest):
    views = (VIEWS[0], Camera.from_view(VIEWS[1]).resized(40, 60).to_view("small"))
    record = _verify(reference, _blind, tiny_info(views=views)).record
    manifest = replace(tiny_manifest, parity=record | {"checks_passed": 0, "device": "cpu"})
    lines = markdown(manifest).splitlines()
    for row in (*record["views"], *record["scales"]):
        assert any(line.startswith(f"| {row['view']} | {row['psnr_db']:.1f} ") for line in lines)
    assert f"Worst view: r_0 at 1/8, {worst_figures(manifest)['psnr_db']:.1f} dB (200" in markdown(manifest)
    assert "Not compared: 'small at 1/4' has 10 x 15 pixels" in markdown(manifest)
