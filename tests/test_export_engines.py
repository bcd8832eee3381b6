"""A shipped engine: its files, its record, what is proved of it; built anew where it will run."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorrt_rtx
import torch
from fixtures_export import export_tiny, tiny_info
from google.protobuf import text_format
from tiny_field import TinyField
from triton_server import on_free_ports, require_triton
from tritonclient.grpc import InferenceServerClient, InferInput
from tritonclient.grpc.model_config_pb2 import ModelConfig

from export.commands.build_engine import main
from export.job.manifest import with_engine
from export.job.sample_budget import choose_budget
from export.parity.rays import counted_rays, view_rays
from export.parity.reference import Reference
from export.tensorrt.library import has_cuda_device
from neurocity.contract import MANIFEST_KEY, SceneManifest, manifest_from_json
from serving.tritonserver.server import running_server

REPOSITORY_ROOT = Path(__file__).parents[1]


def manifest_of(version: Path) -> SceneManifest:
    return manifest_from_json((version / "manifest.json").read_text())


def config_of(model: Path) -> ModelConfig:
    return text_format.Parse((model / "config.pbtxt").read_text(), ModelConfig())


@pytest.fixture
def model(tiny_repository: Path, tmp_path: Path) -> Path:
    """A copy of the tiny scene's model of the format tensorrt, alone in a repository."""
    folder = tmp_path / "repository" / "tiny_tensorrt"
    shutil.copytree(tiny_repository / "tiny_tensorrt", folder)
    return folder


def test_the_engine_is_shipped_with_what_it_was_built_from(model: Path) -> None:
    version = model / "1"
    assert sorted(path.name for path in version.iterdir() if path.is_file()) == [
        "manifest.json",
        "model.onnx",
        "model.plan",
        "report.md",
    ]
    manifest = manifest_of(version)
    plan = (version / "model.plan").read_bytes()
    engine = manifest.engine
    assert engine["sha256"] == hashlib.sha256(plan).hexdigest()
    assert engine["bytes"] == len(plan)
    assert engine["built_from_sha256"] == manifest.artefact.sha256
    assert engine["rays"] == {"min": 1, "opt": 2048, "max": 8192}
    assert manifest.tools["tensorrt-rtx"] == engine["library_version"] == tensorrt_rtx.__version__


@pytest.mark.skipif(has_cuda_device(), reason="with a device, engines are opened")
def test_what_is_not_proved_is_not_claimed(model: Path) -> None:
    manifest = manifest_of(model / "1")
    assert manifest.parity["proved_on"] == "onnxruntime"
    assert manifest.parity["engine_executed"] is False
    assert manifest.engine["opened"] is False
    assert manifest.engine["triton"] is False
    report = (model / "1" / "report.md").read_text()
    assert "The figures below are of `model.onnx` in ONNX Runtime." in report
    assert "The engine was not opened, which takes a CUDA device, and not executed." in report
    assert "Triton's tensorrt backend loads engines of tensorrt alone" in report


def test_triton_loads_the_engine_and_warms_it_up_with_rays_of_a_view(model: Path) -> None:
    config = config_of(model)
    assert (config.backend, config.platform) == ("tensorrt", "tensorrt_plan")
    assert config.default_model_filename == "model.plan"
    (request,) = config.model_warmup
    assert request.batch_size == 1
    (rays,) = counted_rays(view_rays(tiny_info().views[0]), (2048,)).values()
    for name, values in zip(("ray_origins", "ray_directions"), rays.arrays(), strict=True):
        tensor = request.inputs[name]
        assert list(tensor.dims) == [2048, 3]
        data = np.fromfile(model / "warmup" / tensor.input_data_file, dtype="<f4").reshape(-1, 3)
        np.testing.assert_array_equal(data, values)


def test_the_accelerator_of_onnx_runtime_is_told_the_rays(tiny_repository: Path) -> None:
    config = config_of(tiny_repository / "tiny_onnx_tensorrt")
    assert (config.backend, config.default_model_filename) == ("onnxruntime", "model.onnx")
    (accelerator,) = config.optimization.execution_accelerators.gpu_execution_accelerator
    assert accelerator.name == "tensorrt"
    parameters = dict(accelerator.parameters)
    assert parameters.pop("trt_engine_cache_path").endswith("/tiny_onnx_tensorrt")
    assert parameters == {
        "precision_mode": "FP32",
        "trt_engine_cache_enable": "true",
        "trt_profile_min_shapes": "ray_origins:1x3,ray_directions:1x3",
        "trt_profile_opt_shapes": "ray_origins:2048x3,ray_directions:2048x3",
        "trt_profile_max_shapes": "ray_origins:8192x3,ray_directions:8192x3",
    }
    assert len(config.model_warmup) == 1


def test_the_accelerator_is_refused_where_it_would_halve_geometry(tmp_path: Path) -> None:
    assert export_tiny(tmp_path, "onnx_tensorrt", precision="fp16").error_kind == "UnsupportedError"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("path", ["", "1"])
def test_build_engine_replaces_the_engine_and_what_tells_of_it(model: Path, path: str) -> None:
    before, engine_before = manifest_of(model / "1"), (model / "1" / "model.plan").read_bytes()
    (model / "1" / "notes.txt").write_text("by hand")
    assert main([str(model / path), "--opt-rays", "4096", "--max-rays", "4096"]) == 0
    manifest = manifest_of(model / "1")
    plan = (model / "1" / "model.plan").read_bytes()
    assert plan != engine_before
    assert manifest.engine["rays"] == {"min": 1, "opt": 4096, "max": 4096}
    assert manifest.engine["sha256"] == hashlib.sha256(plan).hexdigest()
    assert with_engine(before, manifest.engine) == manifest, "nothing else has changed"
    config = config_of(model)
    assert config.parameters[MANIFEST_KEY].string_value == (model / "1" / "manifest.json").read_text()
    assert manifest.engine["sha256"] in (model / "1" / "report.md").read_text()
    assert (model / "1" / "notes.txt").read_text() == "by hand"
    assert sorted(entry.name for entry in model.parent.iterdir()) == [model.name]
    assert [entry.name for entry in model.parent.parent.iterdir()] == ["repository"]


def test_build_engine_of_an_older_version_leaves_the_configuration(model: Path) -> None:
    shutil.copytree(model / "1", model / "2")
    text = (model / "2" / "manifest.json").read_text().replace('"version": 1', '"version": 2')
    (model / "2" / "manifest.json").write_text(text)
    config, newer = (model / "config.pbtxt").read_text(), (model / "2" / "model.plan").read_bytes()
    assert main([str(model / "1"), "--opt-rays", "2048", "--max-rays", "2048"]) == 0
    assert manifest_of(model / "1").engine["rays"]["max"] == 2048
    assert (model / "config.pbtxt").read_text() == config
    assert (model / "2" / "model.plan").read_bytes() == newer
    assert (model / "warmup" / "1-ray_origins").exists()


def _other_weights(model: Path) -> str:
    path = model / "1" / "model.onnx"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    return "has SHA-256"


def _renamed(model: Path) -> str:
    shutil.move(model / "1", model / "7")
    return "which is not where it stands"


def _no_manifest(model: Path) -> str:
    (model / "1" / "manifest.json").unlink()
    return "cannot be read"


def _no_model(model: Path) -> str:
    (model / "1" / "model.onnx").unlink()
    return "cannot be read"


@pytest.mark.parametrize("spoil", [_other_weights, _renamed, _no_manifest, _no_model])
def test_build_engine_wants_the_folder_that_its_manifest_describes(model: Path, spoil, capsys) -> None:
    message = spoil(model)
    kept = sorted(str(path) for path in model.rglob("*"))
    assert main([str(model)]) == 1
    assert message in capsys.readouterr().err
    assert sorted(str(path) for path in model.rglob("*")) == kept


def test_build_engine_refuses_what_has_no_engine_and_what_is_no_model(
    tiny_repository: Path, tmp_path: Path, capsys
) -> None:
    assert main([str(tiny_repository / "tiny_onnx" / "1")]) == 4
    assert "format onnx, which has no engine" in capsys.readouterr().err
    assert main([str(tmp_path)]) == 1
    assert "has neither a manifest.json nor version folders" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--max-rays", "2047", "--opt-rays", "1"), 2, "expected to hold the 2048 rays of a call"),
        (("--min-rays", "4096", "--opt-rays", "4096"), 2, "expected to hold the 2048 rays of a call"),
        (("--opt-rays", "9000"), 2, "expected 1 <= min <= opt <= max"),
        (("--engine", "tensorrt"), 5, "engine 'tensorrt'"),
    ],
)
def test_build_engine_fails_with_the_code_of_the_reason(
    model: Path, capsys, arguments, code, message
) -> None:
    engine = (model / "1" / "model.plan").read_bytes()
    assert main([str(model), *arguments]) == code
    assert message in capsys.readouterr().err
    assert (model / "1" / "model.plan").read_bytes() == engine


def test_a_builder_that_fails_changes_nothing(model: Path, capsys, monkeypatch) -> None:
    def no_engine(_builder, _network, _config):
        return None

    monkeypatch.setattr(tensorrt_rtx.Builder, "build_serialized_network", no_engine)
    content = {path: path.read_bytes() for path in model.rglob("*") if path.is_file()}
    assert main([str(model)]) == 1
    assert "built no engine: it gave no reason" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in model.rglob("*") if path.is_file()} == content
    assert [entry.name for entry in model.parent.parent.iterdir()] == ["repository"]


def test_build_engine_needs_no_torch(model: Path) -> None:
    code = f"""
import sys
class Absent:
    def find_spec(self, name, *_):
        if name in ("torch", "onnx", "onnxruntime", "pytorch_lightning"):
            raise ModuleNotFoundError(name=name)
sys.meta_path.insert(0, Absent())
from export.commands.build_engine import main
sys.exit(main([{str(model)!r}]))
"""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY_ROOT)}
    command = [sys.executable, "-c", code]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert f"built by: tensorrt-rtx {tensorrt_rtx.__version__}" in run.stdout


def test_a_missing_library_is_told_before_any_work(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", None)
    monkeypatch.setattr("export.job.format_export.render_graph", lambda *_: pytest.fail("work was done"))
    assert export_tiny(tmp_path, "tensorrt").error_kind == "MissingDependencyError"


def test_the_budget_is_what_all_compared_rays_need(tmp_path) -> None:
    model = TinyField(tiny_info().bounds)
    reference = Reference(model, device="cpu", rays_per_call=1000, kept=tmp_path)
    chosen = choose_budget(reference, tiny_info(), None)
    few = choose_budget(reference, tiny_info(), 3)
    views = [map(torch.from_numpy, view_rays(view).arrays()) for view in tiny_info().views]
    counts = torch.cat([model.samples_needed(*rays) for rays in views])
    assert chosen.samples == chosen.needed == 24, "rays that start in the middle of the ball fill all samples"
    assert chosen.truncated_ray_share == 0.0
    assert few.samples == 3
    assert few.needed == 24
    assert few.truncated_ray_share == pytest.approx(float((counts > 3).float().mean()))
    assert few.truncated_ray_share > 0.1


def test_too_few_samples_fail_and_the_number_that_would_do_is_told(tmp_path: Path) -> None:
    outcome = export_tiny(tmp_path, "tensorrt", samples=2)
    assert outcome.error_kind == "ParityError"
    assert "opacity error: got" in outcome.error
    assert "2 samples a ray cut" in outcome.error
    assert "24 would do: --samples 24, or leave --samples out" in outcome.error
    assert list(tmp_path.iterdir()) == []


def test_the_budget_is_recorded(tiny_repository: Path) -> None:
    for name in ("tensorrt", "onnx_tensorrt"):
        budget = manifest_of(tiny_repository / f"tiny_{name}" / "1").sample_budget
        assert budget == {"samples_per_ray": 24.0, "samples": 24.0, "truncated_ray_share": 0.0}
    packed = json.loads((tiny_repository / "tiny_onnx" / "1" / "manifest.json").read_text())
    assert "samples" not in packed["sample_budget"]
    assert packed["engine"] == {}


@pytest.fixture
def accelerated(tiny_repository: Path, tmp_path: Path) -> Path:
    """A repository with the tiny scene in the format onnx_tensorrt alone."""
    repository = tmp_path / "repository"
    shutil.copytree(tiny_repository / "tiny_onnx_tensorrt", repository / "tiny_onnx_tensorrt")
    require_triton()
    return repository


def test_a_server_takes_the_accelerated_model_with_its_warm_up(accelerated: Path) -> None:
    """Here ONNX Runtime runs on the CPU, by a backend of Python; the configuration is the shipped one."""
    rays = [np.tile(part, (3, 1)) for part in view_rays(tiny_info().views[1]).arrays()]
    shipped = config_of(accelerated / "tiny_onnx_tensorrt")
    inputs = []
    for name, values in zip(("ray_origins", "ray_directions"), rays, strict=True):
        inputs.append(InferInput(name, list(values.shape), "FP32"))
        inputs[-1].set_data_from_numpy(values)
    with (
        running_server(on_free_ports(accelerated), log=print) as server,
        InferenceServerClient(server.grpc_url) as client,
    ):
        loaded = client.get_model_config("tiny_onnx_tensorrt").config
        result = client.infer("tiny_onnx_tensorrt", inputs)
    assert loaded.model_warmup == shipped.model_warmup
    # Triton may write out defaults of the graph's optimisation beside what it was given.
    assert loaded.optimization.execution_accelerators == shipped.optimization.execution_accelerators
    expected = TinyField(tiny_info().bounds)(*map(torch.from_numpy, rays))
    np.testing.assert_allclose(result.as_numpy("rgb"), expected.rgb.numpy(), atol=2e-6)
    assert result.as_numpy("opacity").max() > 0.2
