"""Artefacts against the photographs: the right dataset, the right pixels, and what may be lost."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from fixtures_export import export_tiny, tiny_info
from PIL import Image
from sphere_photographs import cameras, write_photographs
from tiny_field import TinyField

from export.cli import main
from export.parity import tolerances
from export.parity.compare import ask
from export.parity.gate import ParityGate
from export.parity.photographs import Photographs, compare_with_photograph
from export.parity.rays import view_rays
from export.parity.reference import Reference
from neurocity.cameras import Rays
from neurocity.checkpoint import read_content
from neurocity.contract import manifest_from_json
from neurocity.data.load import load_scene
from neurocity.errors import DataError
from neurocity.lenses import Lens
from neurocity.light import Light, over_background

BACKGROUND = (1.0, 1.0, 1.0)
FP16 = replace(tolerances.FP16, ssim=0.9)


def _info(folder, downscale: int = 1):
    """The scene of the tiny field, with the views and the fingerprint of a dataset."""
    scene = load_scene(folder, downscale=downscale)
    views = tuple(frame.camera.to_view(frame.name) for frame in scene.held_out)
    return tiny_info(views=views, dataset_fingerprint=scene.fingerprint())


def _eager(rays) -> Light:
    with torch.inference_mode():
        outputs = TinyField()(*map(torch.from_numpy, rays.arrays()))
    return Light(*(output.numpy() for output in outputs))


def test_a_photograph_is_over_the_background_and_belongs_to_its_view(sphere):
    info = _info(sphere)
    photographs = Photographs(sphere, info)
    for index, view in enumerate(info.views):
        image = photographs.image(index).reshape(view.height, view.width, 3)
        np.testing.assert_array_equal(image[0, 0], BACKGROUND)
        pixels = np.asarray(Image.open(sphere / f"{view.name}.png")).astype(float) / 255
        expected = pixels[..., :3] * pixels[..., 3:] + (1 - pixels[..., 3:])
        np.testing.assert_allclose(image, expected, atol=1e-6)
        assert photographs.rays(index) is None


def test_the_downscale_of_the_training_is_found(sphere):
    info = _info(sphere, downscale=2)
    assert info.views[0].width == 10
    assert Photographs(sphere, info).image(0).shape == (100, 3)


def test_reduced_and_skipped_images_of_the_training_are_found(sphere, tmp_path):
    document = json.loads((sphere / "transforms_test.json").read_text())
    document["frames"] += json.loads((sphere / "transforms_train.json").read_text())["frames"]
    (tmp_path / "transforms.json").write_text(json.dumps(document))
    (tmp_path / "train_2").symlink_to(sphere / "train")
    scene = load_scene(tmp_path, downscale=2, missing="skip")
    views = tuple(frame.camera.to_view(frame.name) for frame in scene.held_out)
    info = tiny_info(views=views, dataset_fingerprint=scene.fingerprint())
    photographs = Photographs(tmp_path, info)
    assert info.views[0].width == 20
    assert photographs.image(0).shape == (400, 3)


def test_another_dataset_is_refused(sphere, tmp_path):
    info = _info(sphere)
    changed = write_photographs(tmp_path / "sphere")
    image = changed / "train" / "r_0.png"
    pixels = np.asarray(Image.open(image)).copy()
    pixels[3, 3] = 7
    Image.fromarray(pixels).save(image)
    with pytest.raises(DataError, match=r"sphere: is not the dataset .*expected " + info.dataset_fingerprint):
        Photographs(changed, info)
    with pytest.raises(DataError, match="no dataset found"):
        Photographs(tmp_path, info)


def test_the_loss_is_the_model_less_the_artefact():
    photograph = np.full((50, 3), 0.5, dtype=np.float32)
    opaque = np.ones(50, dtype=np.float32)
    model, artefact = (
        Light(rgb=np.full((50, 3), value, dtype=np.float32), depth=opaque, opacity=opaque)
        for value in (0.51, 0.52)
    )
    found = compare_with_photograph(artefact, model, photograph, BACKGROUND)
    assert found["model_psnr_db"] == pytest.approx(40.0, abs=1e-3)
    assert found["loss_db"] == pytest.approx(20 * math.log10(2), abs=1e-3)
    better = compare_with_photograph(model, artefact, photograph, BACKGROUND)
    assert better["loss_db"] == pytest.approx(-20 * math.log10(2), abs=1e-3)


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    kept = tmp_path_factory.mktemp("views")
    return Reference(TinyField(), device="cpu", rays_per_call=4096, kept=kept)


def test_an_artefact_that_is_further_from_the_truth_than_the_model_fails(sphere, reference):
    """Everything else is within the limits of fp16; what is lost is not."""
    info = _info(sphere)
    photographs = Photographs(sphere, info)
    truths = [photographs.image(index) for index in range(len(info.views))]

    def render(sign):
        def altered(rays):
            light = _eager(rays)
            for truth, view in zip(truths, info.views, strict=True):
                if np.array_equal(rays.directions, view_rays(view).directions):
                    away = np.sign(over_background(light.rgb, light.opacity, BACKGROUND) - truth)
                    light.rgb[...] += sign * np.float32(0.0035) * away
            return light

        return altered

    gate = ParityGate(reference, info, photographs=photographs)
    for sign, failing in ((1, ["dB lost against the photograph"]), (-1, [])):
        report = gate.verify(render(sign), FP16, lambda *_: None, rays_per_call=400)
        failed = {check.name for check in report.checks if not check.passed}
        assert failed == set(failing)
        losses = [view["photograph"]["loss_db"] for view in report.record["views"]]
        assert report.record["photographs"]["largest_loss_db"] == max(losses)
        assert report.record["photographs"]["loss_db"] == pytest.approx(np.mean(losses))


def test_a_photograph_through_a_lens_is_compared_on_its_own_rays(sphere, reference, monkeypatch):
    info = _info(sphere)
    photographs = Photographs(sphere, info)
    (camera, _) = cameras("test")
    bent = camera.resized(20, 20).rays()
    bent = Rays(bent.origins, bent.directions[::-1].copy())
    monkeypatch.setattr(photographs, "rays", lambda index, **_: bent if index == 0 else None)
    gate = ParityGate(reference, info, photographs=photographs)
    report = gate.verify(_eager, FP16, lambda *_: None, rays_per_call=150)
    light = ask(_eager, bent, "bent", chunk=400)
    image = over_background(light.rgb, light.opacity, BACKGROUND)
    error = np.mean((image.astype(float) - photographs.image(0)) ** 2)
    got = report.record["views"][0]["photograph"]["artefact_psnr_db"]
    assert got == pytest.approx(-10 * math.log10(error), abs=1e-6)


def test_a_lens_gives_the_rays_of_its_camera(sphere):
    info = _info(sphere)
    photographs = Photographs(sphere, info)
    frame = photographs._frames[0]
    lens = Lens(model="OPENCV", params=(0.1, 0.01, 0.0, 0.0, 0.0))
    object.__setattr__(frame.camera, "lens", lens)
    rays = photographs.rays(0)
    assert rays is not None
    np.testing.assert_array_equal(rays.directions, frame.camera.rays().directions)
    assert np.abs(rays.directions - view_rays(info.views[0]).directions).max() > 1e-3


def test_a_trained_model_is_exported_with_what_it_loses(trained_run, sphere, tmp_path, capsys):
    """What the command says of the model is what `neurocity evaluate` measures."""
    checkpoint = trained_run / "checkpoints" / "last.ckpt"
    command = [str(checkpoint), "--name", "ball", "--out", str(tmp_path), "--formats", "torchscript"]
    command += ["--data", str(sphere), "--rays-per-call", "400"]
    assert main([*command, "--precision", "fp16"]) == 0
    folder = tmp_path / "ball_torchscript_fp16" / "1"
    manifest = manifest_from_json((folder / "manifest.json").read_text())
    found = manifest.parity["photographs"]
    metrics = read_content(checkpoint)["hyper_parameters"]["metrics"]
    assert found["model_psnr_db"] == pytest.approx(metrics["val/psnr"], abs=0.01)
    assert abs(found["loss_db"]) < 0.05
    assert "## Against the photographs" in (folder / "report.md").read_text()

    assert main([*command, "--data", str(tmp_path)]) == 1
    assert "no dataset found" in capsys.readouterr().err


def test_a_checkpoint_of_another_scene_is_not_compared(sphere, tmp_path):
    outcome = export_tiny(tmp_path / "out", "onnx", data=sphere)
    assert (outcome.error_kind, outcome.everywhere) == ("DataError", True)
    assert "is not the dataset" in outcome.error
    assert not (tmp_path / "out").exists()
