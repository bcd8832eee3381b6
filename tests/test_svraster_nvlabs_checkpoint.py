"""`model.pt` of NVlabs' SVRaster: read, rendered as there, and exported."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import nvlabs_model
import pytest
import torch
import yaml
from reference.nvlabs_svraster import render_ray
from svraster_scene import random_model, random_rays

from export.job.job import Job
from export.job.run import run_job
from export.job.source import open_checkpoint
from neurocity.contract import manifest_from_json
from neurocity.data.load import load_scene
from neurocity.errors import CheckpointError, ConfigError
from neurocity.svraster.nvlabs_checkpoint import load_nvlabs_checkpoint
from neurocity.svraster.nvlabs_model_file import is_model_file

CENTER, EXTENT = (0.2, -0.1, 0.3), 5.0


def content_of(**changes: Any) -> dict[str, Any]:
    """A file's dictionary with random voxels of levels 1 to 4, two of them shells around the content."""
    model = random_model(seed=1, sh_degree=3)
    content = nvlabs_model.model_content(model, center=CENTER, extent=EXTENT, outside_level=1)
    return {**content, **changes}


@pytest.fixture(scope="module")
def content() -> dict[str, Any]:
    return content_of()


@pytest.fixture
def scene(sphere: Path) -> Any:
    return load_scene(sphere)


def assert_renders_as_there(model: torch.nn.Module, content: dict[str, Any], samples: int = 1) -> None:
    """Rays from outside of the root cube, where both programs see the same."""
    count = 12
    origins, directions = random_rays(model, seed=2, count=count)
    outside = torch.cat([torch.arange(count) + part * count for part in (0, 2, 4)])
    origins, directions = origins[:, outside].t().contiguous(), directions[:, outside].t().contiguous()
    got = model(origins, directions)
    seen, brightest = 0, 0.0
    for ray, (origin, direction) in enumerate(zip(origins.double(), directions.double(), strict=True)):
        rgb, depth, opacity = render_ray(content, origin.numpy(), direction.numpy(), samples)
        np.testing.assert_allclose(got.rgb[ray], rgb, atol=5e-4)
        np.testing.assert_allclose(got.opacity[ray], opacity, atol=3e-4)
        np.testing.assert_allclose(got.depth[ray] * got.opacity[ray], depth * opacity, atol=2e-3 * EXTENT)
        seen += opacity > 0.2
        brightest = max(brightest, rgb.max())
    assert seen > count
    assert brightest > 1.0, "no colour tells that theirs have no limit"


def test_a_file_renders_as_it_does_there(content, scene, tmp_path):
    path = nvlabs_model.write(content, tmp_path / "lego")
    checkpoint = load_nvlabs_checkpoint(path, scene)
    assert checkpoint.model.density_scale == pytest.approx(100.0, rel=1e-6)
    assert_renders_as_there(checkpoint.model, content)


def test_fewer_bands_of_harmonics_may_count_than_are_stored(content, scene, tmp_path):
    fewer = {**content, "active_sh_degree": 1}
    checkpoint = load_nvlabs_checkpoint(nvlabs_model.write(fewer, tmp_path), scene)
    assert checkpoint.model_config.sh_degree == 1
    assert_renders_as_there(checkpoint.model, fewer)


def test_tables_of_quantized_values_are_looked_up(content, scene, tmp_path):
    quantized = nvlabs_model.quantized(content)
    checkpoint = load_nvlabs_checkpoint(nvlabs_model.write(quantized, tmp_path), scene)
    assert_renders_as_there(checkpoint.model, nvlabs_model.dequantized(quantized))


def test_settings_of_the_run_are_read_where_they_are(content, scene, tmp_path):
    path = nvlabs_model.write(content, tmp_path)
    settings = {"n_samp_per_vox": 3, "white_background": True, "black_background": False}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({"model": settings}))
    checkpoint = load_nvlabs_checkpoint(path, scene)
    assert checkpoint.info.background == (1.0, 1.0, 1.0)
    assert_renders_as_there(checkpoint.model, content, samples=3)
    (tmp_path / "config.yaml").write_text("model: 3")
    with pytest.raises(CheckpointError, match=r"config\.yaml: `model` is 3, expected settings by name"):
        load_nvlabs_checkpoint(path, scene)
    (tmp_path / "config.yaml").write_text("data: {}")
    with pytest.raises(CheckpointError, match=r"config\.yaml: cannot be read as the settings"):
        load_nvlabs_checkpoint(path, scene)


def test_the_checkpoint_says_what_the_file_and_the_dataset_say(content, scene, tmp_path):
    path = nvlabs_model.write(content, tmp_path)
    checkpoint = load_nvlabs_checkpoint(path, scene)
    assert (checkpoint.family, checkpoint.step) == ("svraster", 20000)
    assert checkpoint.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    half = EXTENT / 4
    assert checkpoint.info.bounds == pytest.approx(
        [c - half for c in CENTER] + [c + half for c in CENTER], abs=1e-6
    )
    assert checkpoint.info.background == (0.0, 0.0, 0.0), "there is something around the content"
    assert [view.name for view in checkpoint.info.views] == [frame.name for frame in scene.held_out]
    assert checkpoint.info.dataset_fingerprint == scene.fingerprint()
    bounded = content_of(inside_extent=torch.tensor([EXTENT]))
    again = load_nvlabs_checkpoint(nvlabs_model.write(bounded, tmp_path / "bounded"), scene)
    assert again.info.background == (1.0, 1.0, 1.0)


def test_a_model_of_others_needs_cameras_and_a_checkpoint_has_its_own(
    content, sphere, ngp_checkpoint, tmp_path
):
    path = nvlabs_model.write(content, tmp_path)
    assert is_model_file(path)
    assert not is_model_file(ngp_checkpoint)
    with pytest.raises(
        ConfigError, match="holds no views to compare artefacts on; --cameras names its dataset"
    ):
        open_checkpoint(path, None)
    for cameras in (sphere, sphere / "transforms_train.json"):
        assert len(open_checkpoint(path, cameras).info.views) == 2
    with pytest.raises(ConfigError, match="holds the held-out views of its own dataset"):
        open_checkpoint(ngp_checkpoint, sphere)


def test_a_model_of_others_is_exported(content, sphere, tmp_path):
    job = Job(
        checkpoint=nvlabs_model.write(content, tmp_path / "lego"),
        name="lego",
        format="torchscript",
        cameras=sphere,
        out=tmp_path / "models",
        rays_per_call=512,
        profile_seconds=0,
    )
    outcome = run_job(job)
    assert outcome.status == "shipped", outcome.error
    manifest = manifest_from_json((job.folder / "manifest.json").read_text())
    assert manifest.family == "svraster"
    assert manifest.options["cameras"] == sphere.name
    assert min(view["psnr_db"] for view in manifest.parity["views"]) >= 60.0


def _overlapping(content: dict[str, Any]) -> dict[str, Any]:
    level = content["octlevel"].flatten().tolist().index(4)
    paths, levels = content["octpath"].clone(), content["octlevel"].clone()
    paths[level] = paths[level] >> 42 << 42
    levels[level] = 2
    return {"octpath": paths, "octlevel": levels}


def _with_a_nan(content: dict[str, Any]) -> dict[str, Any]:
    values = content["_geo_grid_pts"].clone()
    values[3] = float("nan")
    return {"_geo_grid_pts": values}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: {"_sh0": c["_sh0"][:-1]}, r"_sh0: got \[\d+, 3\], expected \[\d+, 3\]"),
        (lambda c: {"_shs": c["_shs"][:, :5]}, r"_shs: got \[\d+, 5, 3\], expected \[N, B, 3\]"),
        (lambda c: {"_geo_grid_pts": c["_geo_grid_pts"][:-1]}, r"_geo_grid_pts: got \[\d+, 1\], expected"),
        (_with_a_nan, "_geo_grid_pts: got values that are not finite"),
        (lambda _: {"active_sh_degree": 4}, "active_sh_degree: got 4, expected 0 to 3"),
        (lambda c: {"octlevel": c["octlevel"] * 0}, "octlevel: got 0 to 0, expected 1 to 16"),
        (
            lambda c: {"octlevel": c["octlevel"][:-1]},
            r"octlevel: got \d+, expected one for each of \d+ octpath",
        ),
        (lambda c: {"octpath": c["octpath"] + 1}, r"octpath: got \d+ below their level, expected none"),
        (lambda c: {"octpath": c["octpath"].float()}, "octpath: got .*, expected whole numbers"),
        (lambda _: {"scene_extent": torch.tensor([0.0])}, "inside_extent: got 2.5, expected more than 0"),
        (lambda _: {"scene_center": torch.tensor([0.0])}, r"scene_center: got \[0.0\], expected 3 numbers"),
        (lambda _: {"quantized": True}, "_shs: got Tensor, expected a table with index and codebook"),
        (_overlapping, "overlap others"),
    ],
)
def test_files_of_another_layout_are_refused(content, scene, tmp_path, change, message):
    path = nvlabs_model.write({**content, **change(content)}, tmp_path)
    with pytest.raises(
        CheckpointError, match=rf"(?s)model\.pt: is not an SVRaster model that can be.*{message}"
    ):
        load_nvlabs_checkpoint(path, scene)


def test_files_that_lack_something_are_refused(content, scene, tmp_path):
    less = {name: value for name, value in content.items() if name not in ("_shs", "scene_extent")}
    with pytest.raises(CheckpointError, match=r"is not an SVRaster model \(it lacks scene_extent, _shs\)"):
        load_nvlabs_checkpoint(nvlabs_model.write(less, tmp_path), scene)


def test_truncated_files_are_refused(content, scene, tmp_path):
    path = nvlabs_model.write(content, tmp_path)
    path.write_bytes(path.read_bytes()[:-300])
    assert not is_model_file(path)
    with pytest.raises(CheckpointError, match=r"cannot be read as an SVRaster model .*truncated"):
        load_nvlabs_checkpoint(path, scene)
    with pytest.raises(CheckpointError, match=r"cannot be read as a checkpoint .*truncated"):
        open_checkpoint(path, None)
