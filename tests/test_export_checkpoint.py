"""From a checkpoint file of Instant-NGP to artefacts that render what the model renders."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest
import torch
from fixtures_export import export_tiny, tiny_info

from export.formats.registry import get_format
from export.job.job import Job
from export.job.run import run_job
from export.parity.rays import adversarial_rays, view_rays
from neurocity.checkpoint import load_checkpoint
from neurocity.contract import SceneManifest, manifest_from_json

FORMATS = ("onnx", "torchscript")


def _manifest(repository, name: str) -> SceneManifest:
    return manifest_from_json((repository / f"ngp_{name}" / "1" / "manifest.json").read_text())


@pytest.mark.parametrize("name", FORMATS)
def test_the_manifest_says_where_the_artefact_comes_from(ngp_checkpoint, ngp_repository, name: str):
    manifest = _manifest(ngp_repository, name)
    artefact = (ngp_repository / f"ngp_{name}" / "1" / manifest.artefact.name).read_bytes()
    assert manifest.family == "instant_ngp"
    assert manifest.checkpoint_sha256 == hashlib.sha256(ngp_checkpoint.read_bytes()).hexdigest()
    assert manifest.artefact.sha256 == hashlib.sha256(artefact).hexdigest()
    assert manifest.artefact.bytes == len(artefact)
    assert manifest.info == tiny_info()
    assert manifest.sample_budget == {"lattice_points": 64.0}
    assert min(view["psnr_db"] for view in manifest.parity["views"]) >= 60.0
    assert str(ngp_checkpoint).encode() not in artefact


@pytest.mark.parametrize("name", FORMATS)
def test_the_artefact_renders_what_the_checkpoint_renders(ngp_checkpoint, ngp_repository, name: str):
    target = get_format(name)
    render = target.open(ngp_repository / f"ngp_{name}" / "1" / target.file_name, "cpu")
    model = load_checkpoint(ngp_checkpoint).model
    info = tiny_info()
    sets = [view_rays(view) for view in info.views] + list(adversarial_rays(info.bounds).values())
    seen = 0.0
    for rays in sets:
        got = render(rays)
        with torch.inference_mode():
            expected = model(*map(torch.from_numpy, rays.arrays()))
        for a, b in zip(got, expected, strict=True):
            np.testing.assert_allclose(a, b.numpy(), atol=2e-3)
        seen = max(seen, float(got.opacity.max()))
    assert seen > 0.1


def test_a_model_trained_further_is_not_what_was_exported(ngp_checkpoint, tmp_path, monkeypatch):
    """The gate compares with the model at hand: an artefact of older weights fails, and nothing is left."""
    checkpoint = load_checkpoint(ngp_checkpoint)
    older = load_checkpoint(ngp_checkpoint).model
    for parameter in checkpoint.model.density_net.parameters():
        parameter.add_(0.02)
    kind = type(get_format("torchscript"))
    encode = kind.encode
    monkeypatch.setattr(kind, "encode", lambda self, _model, *rest: encode(self, older, *rest))
    repository = tmp_path / "models"
    outcome = export_tiny(repository, "torchscript", checkpoint=checkpoint)
    assert "opacity error: got" in outcome.error
    assert list(repository.iterdir()) == []


def test_truncated_and_foreign_checkpoints_are_refused(ngp_checkpoint, tmp_path):
    broken = tmp_path / "broken.ckpt"
    broken.write_bytes(ngp_checkpoint.read_bytes()[:2000])
    job = Job(checkpoint=broken, name="ngp", format="onnx", out=tmp_path / "models")
    outcome = run_job(job)
    assert (outcome.error_kind, outcome.everywhere) == ("CheckpointError", True)
    assert "broken.ckpt" in outcome.error
    outcome = run_job(replace(job, checkpoint=tmp_path / "none.ckpt"))
    assert (outcome.error_kind, outcome.everywhere) == ("CheckpointError", True)
    assert "no such file" in outcome.error
    assert not (tmp_path / "models").exists()
