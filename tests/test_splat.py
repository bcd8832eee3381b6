"""The format splat: its file, what is painted of it against the twin, and its export as a whole."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from ball_scene import ball_checkpoint, export_ball
from fixtures_export import TINY_BOUNDS, export_tiny, tiny_checkpoint, tiny_info
from reference import splatting, svraster
from svraster_scene import random_model
from tiny_families import tiny_model

from benchmarks import splat_loss
from export.cli import main
from export.formats.splat import FILE, SIDECAR
from export.parity.metrics import psnr_db
from export.parity.verify import verify
from export.splat.gaussians import Gaussians
from export.splat.of_voxels import CHORD, DEVIATION, gaussians_of
from export.splat.painting import SplatPainter
from export.splat.ply import properties, read_ply, write_ply
from neurocity.cameras import Camera
from neurocity.errors import ManifestError
from neurocity.families import find_family
from neurocity.model_repository import open_version
from neurocity.poses import look_at

EYE = (2.6, 0.4, 1.0)


@pytest.fixture(scope="module")
def repository(made_once) -> Path:
    """A repository with the ball as Gaussians."""

    def export(out: Path) -> None:
        outcome = export_ball(out, "splat")
        assert not outcome.error, outcome.error

    return made_once("exported_splat_repository", export)


@pytest.fixture
def folder(repository, tmp_path) -> Path:
    """A copy of the version folder, to break."""
    shutil.copytree(repository / "tiny_splat", tmp_path / "tiny_splat")
    return tmp_path / "tiny_splat" / "1"


@pytest.mark.parametrize("sh_degree", [0, 1, 2, 3])
def test_colours_of_a_file_are_those_of_the_voxels(sh_degree):
    """The file as others read it, by the names of its properties: order, signs and place of coefficients."""
    model = random_model(depth=2, sh_degree=sh_degree, scene_bounds=TINY_BOUNDS).requires_grad_(False)
    gaussians, _ = gaussians_of(model)
    rows = splatting.file_rows(write_ply(gaussians, ()))
    lows, highs = svraster.boxes(model)
    assert len(rows[0]) == 3 + 3 + 3 * (sh_degree + 1) ** 2 + 1 + 3 + 4
    views = np.random.default_rng(0).normal(size=(5, 3))
    for row in rows[:10]:
        away = np.abs((lows + highs) / 2 - [row["x"], row["y"], row["z"]]).max(1)
        voxel = int(away.argmin())
        assert away[voxel] < 1e-6
        side = highs[voxel][0] - lows[voxel][0]
        assert np.exp(row["scale_0"]) == pytest.approx(DEVIATION * side, rel=1e-5)
        for view in views / np.linalg.norm(views, axis=1, keepdims=True):
            expected = svraster.color(model, voxel, view)
            np.testing.assert_allclose(np.minimum(splatting.color(row, view), 1.0), expected, atol=1e-5)


def test_opacity_is_the_voxels_along_its_mean_chord():
    model = random_model(depth=2, scene_bounds=TINY_BOUNDS).requires_grad_(False)
    model.density.fill_(0.7)
    rows = splatting.file_rows(write_ply(gaussians_of(model)[0], ()))
    for row in rows:
        side = np.exp(row["scale_0"]) / DEVIATION
        depth = model.density_scale * svraster.explin(0.7) * side
        assert 1 / (1 + np.exp(-row["opacity"])) == pytest.approx(1 - np.exp(-CHORD * depth), rel=1e-4)


def test_the_property_names_are_those_of_3d_gaussian_splatting():
    names = [name for names in properties(15).values() for name in names]
    assert names == [
        *("x", "y", "z", "nx", "ny", "nz", "f_dc_0", "f_dc_1", "f_dc_2"),
        *(f"f_rest_{index}" for index in range(45)),
        *("opacity", "scale_0", "scale_1", "scale_2", "rot_0", "rot_1", "rot_2", "rot_3"),
    ]


@pytest.mark.parametrize("eye", [EYE, (0.31, 0.2, 0.17)])
def test_what_is_painted_is_what_the_twin_draws(eye):
    """From outside, and from among the Gaussians, where some are large and some behind."""
    model = random_model(depth=2, scene_bounds=TINY_BOUNDS).requires_grad_(False)
    content = write_ply(gaussians_of(model)[0], ())
    camera = Camera.from_fov_y(look_at(eye, (0.1, 0, 0), (0, 0, 1)), 8, 7, 50.0)
    camera = replace(camera, cx=camera.cx + 0.7, fl_y=1.2 * camera.fl_y)
    got = SplatPainter(read_ply(content, "x")[0]).paint(camera.to_view("x"))
    image = got.as_image(camera.height, camera.width)
    rows = splatting.file_rows(content)
    assert 0.2 < got.opacity.mean() < 1.0
    for i in range(camera.height):
        for j in range(camera.width):
            rgb, depth, opacity = splatting.pixel(rows, camera, i, j)
            np.testing.assert_allclose(image.rgb[i, j], rgb, atol=1e-4)
            np.testing.assert_allclose(image.opacity[i, j], opacity, atol=1e-4)
            np.testing.assert_allclose(image.depth[i, j] * opacity, depth * opacity, atol=1e-3)


def test_the_loss_is_seen_where_a_scene_is_turned_shifted_or_of_other_colours():
    """What the limits are for: a file that is nearly right is further from the model by decibels."""
    checkpoint = ball_checkpoint()
    gaussians, _ = gaussians_of(checkpoint.model)
    view = Camera.from_view(checkpoint.info.views[0]).resized(32, 28).to_view("large")
    with torch.inference_mode():
        rays = Camera.from_view(view).rays()
        expected = checkpoint.model(*map(torch.from_numpy, rays.arrays())).rgb.numpy()

    def near(changed: Gaussians) -> float:
        return psnr_db(SplatPainter(changed).paint(view).rgb, expected)

    right = near(gaussians)
    assert right > 30.0
    mirrored = replace(gaussians, centers=gaussians.centers * np.float32([1, 1, -1]))
    shifted = replace(gaussians, centers=gaussians.centers + gaussians.deviations.max())
    swapped = replace(gaussians, colours=gaussians.colours[:, [0, 2, 1, 3]])
    clear = replace(gaussians, opacities=gaussians.opacities / 2)
    for wrong in (mirrored, shifted, swapped, clear):
        assert near(wrong) < right - 1.0


def test_a_file_that_is_another_is_refused():
    content = write_ply(gaussians_of(ball_checkpoint().model)[0], ("up 0 0 1",))
    found, comments = read_ply(content, "x")
    assert comments == ("up 0 0 1",)
    assert write_ply(found, comments)[:500] == content[:500]
    for broken, reason in (
        (content[:-4], "bytes behind its header"),
        (content.replace(b"float x", b"float u"), "the properties of 3D Gaussian Splatting"),
        (content.replace(b"binary_little", b"binary_big"), "the properties of 3D Gaussian Splatting"),
        (b"ply\n", "the properties of 3D Gaussian Splatting"),
        (b"element vertex\nend_header\n", "the properties of 3D Gaussian Splatting"),
        (content[:-4] + b"\0\0\x80?", "Gaussians that are not round"),
    ):
        with pytest.raises(ManifestError, match=reason):
            read_ply(broken, "x")


def test_the_loss_by_the_size_of_pictures_is_printed(monkeypatch, capsys):
    monkeypatch.setattr(splat_loss, "open_checkpoint", lambda *_: ball_checkpoint())
    splat_loss.main(["x", "--views", "1", "--enlarged", "1", "--deviations", "0.45", "4.5"])
    _, _, *rows = capsys.readouterr().out.splitlines()
    found = {float(row.split()[0]): float(row.split()[1]) for row in rows}
    assert found[0.45] > found[4.5] + 3.0


# As a whole


def test_what_was_exported_states_its_loss(repository):
    version = open_version(repository / "tiny_splat" / "1")
    version.require_whole()
    manifest = version.manifest
    assert {manifest.artefact.name, *(file.name for file in manifest.files)} == {FILE, SIDECAR, "triton.py"}
    parity = manifest.parity
    assert (parity["rays"], parity["invariance"], len(parity["views"])) == ([], [], 3)
    worst = min(view["psnr_db"] for view in parity["views"])
    report = (version.path / "report.md").read_text()
    assert "a preview, near to the float32 model and not equal" in report
    assert re.search(r"- [\d,]+ Gaussians stand for 4,096 voxels; [\d,]+ are left out", report)
    stated = (
        r"- The loss: 3 of 3 held-out views, .* are at \d+\.\d dB PSNR to .* and at (\d+\.\d) dB in the worst"
    )
    assert re.search(stated, report)[1] == f"{worst:.1f}"
    assert "Rays made to break" not in report


def test_what_was_shipped_is_verified_and_described(repository, folder, capsys):
    assert main(["verify", str(repository / "tiny_splat")]) == 0
    assert (
        "tiny_splat version 1 on cpu is as near to its model as a preview has to be"
        in capsys.readouterr().out
    )
    assert main(["inspect", str(repository / "tiny_splat" / "1" / FILE), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["family"], found["format"], found["scene"]) == ("svraster", "splat", "tiny")
    (folder / SIDECAR).write_text((folder / SIDECAR).read_text().replace('"tiny"', '"huge"'))
    assert main(["verify", str(folder)]) == 1
    assert f"{SIDECAR}: has SHA-256" in capsys.readouterr().err
    assert main(["inspect", str(folder / FILE)]) == 1
    assert f"{SIDECAR}: is not the manifest of" in capsys.readouterr().err
    (folder / SIDECAR).unlink()
    assert main(["inspect", str(folder / FILE)]) == 1


def test_a_file_of_another_scene_is_not_verified(repository):
    version = open_version(repository / "tiny_splat" / "1")
    gaussians, _ = read_ply(version.artefact.read_bytes(), FILE)
    assert all(check.passed for check in verify(SplatPainter(gaussians), version))
    other = replace(gaussians, colours=-8.0 * gaussians.colours)
    failed = [check for check in verify(SplatPainter(other), version) if not check.passed]
    assert {check.name for check in failed} >= {"psnr_db", "psnr_db of the picture"}


def test_a_preview_of_another_model_is_not_shipped(tmp_path, monkeypatch):
    def mirrored(model):
        gaussians, remarks = gaussians_of(model)
        return replace(gaussians, colours=-8.0 * gaussians.colours), remarks

    monkeypatch.setattr("export.splat.of_voxels.gaussians_of", mirrored)
    outcome = export_ball(tmp_path, "splat")
    assert outcome.error_kind == "ParityError"
    assert re.search(r"psnr_db: got \d+\.?\d*, expected at least", outcome.error)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("family", ["instant_ngp", "mip_nerf"])
def test_other_families_are_refused_before_any_work(family, tmp_path):
    config = tiny_model(family).for_scene(TINY_BOUNDS, False)
    model = find_family(family).model_class()(config).eval()
    outcome = export_tiny(tmp_path, "splat", checkpoint=tiny_checkpoint(family=family, model=model))
    assert (outcome.error_kind, outcome.exit_code) == ("UnsupportedError", 4)
    assert "train with `neurocity train svraster`, or export onnx" in outcome.error
    assert list(tmp_path.iterdir()) == []


def test_shells_and_the_missing_sky_are_said_and_the_model_keeps_its_sky(tmp_path):
    config = tiny_model("svraster").for_scene(TINY_BOUNDS, True)
    model = find_family("svraster").model_class()(config).eval().requires_grad_(False)
    model.density.fill_(-1.0)
    model.sh0.copy_(2.0 * model.voxel_low.t() - 1.0)
    checkpoint = tiny_checkpoint(family="svraster", model=model, info=tiny_info(background=None))
    outcome = export_tiny(tmp_path, "splat", checkpoint=checkpoint)
    assert not outcome.error, outcome.error
    remarks = " ".join(outcome.manifest.parity["preview"]["remarks"])
    assert re.search(r"[\d,]+ Gaussians are of the shells around the box", remarks)
    assert "The sky is left out of the file, and of the model that it is compared with" in remarks
    assert model.sky_enabled


def test_a_model_that_is_clear_is_refused(tmp_path):
    model = random_model(scene_bounds=TINY_BOUNDS).eval().requires_grad_(False)
    model.density.fill_(-20.0)
    outcome = export_tiny(tmp_path, "splat", checkpoint=tiny_checkpoint(family="svraster", model=model))
    assert "which splat viewers draw nothing; train it first" in outcome.error


def test_voxels_that_have_no_number_are_not_left_out_but_refused(tmp_path):
    checkpoint = ball_checkpoint()
    with torch.no_grad():
        checkpoint.model.density[checkpoint.model.voxel_points[0]] = float("nan")
    outcome = export_tiny(tmp_path, "splat", checkpoint=checkpoint)
    assert "numbers that are not finite: got 8, expected 0" in outcome.error
