"""`neurocity-export verify`: what it accepts, what it finds, and how little it needs."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import onnx
import pytest
import torch
import triton_server
from fixtures_export import FORMATS

from export.commands.verify import main
from neurocity.contract import MANIFEST_FILE, SceneManifest, file_record, manifest_from_json, to_json
from neurocity.errors import EngineUnavailableError
from neurocity.families import FAMILIES

ROOT = Path(__file__).parents[1]


@pytest.fixture
def repository(tiny_repository, tmp_path) -> Path:
    """A copy of the tiny repository, to break."""
    return shutil.copytree(tiny_repository, tmp_path / "models")


def _manifest(version: Path) -> SceneManifest:
    return manifest_from_json((version / MANIFEST_FILE).read_text())


def _edit(folder: Path, **changes) -> None:
    (folder / MANIFEST_FILE).write_text(to_json(replace(_manifest(folder), **changes)))


def _replace_artefact(version: Path, data: bytes) -> None:
    """Puts other bytes in the place of the artefact, and lets the manifest say that they are right."""
    manifest = _manifest(version)
    (version / manifest.artefact.name).write_bytes(data)
    _edit(version, artefact=file_record(manifest.artefact.name, data))


def _flip_a_weight(version: Path) -> None:
    """The ONNX artefact with a weight of another sign."""
    proto = onnx.load(version / "model.onnx")
    weight = next(tensor for tensor in proto.graph.initializer if tensor.name == "hidden.weight")
    values = onnx.numpy_helper.to_array(weight).copy()
    values[2, 1] *= -1
    weight.CopyFrom(onnx.numpy_helper.from_array(values, weight.name))
    _replace_artefact(version, proto.SerializeToString())


@pytest.mark.parametrize("name", FORMATS)
def test_what_was_shipped_is_equal_to_its_model(tiny_repository, name: str, capsys):
    assert main([str(tiny_repository / f"tiny_{name}" / "1")]) == 0
    out = capsys.readouterr().out.splitlines()
    built = 1 if _manifest(tiny_repository / f"tiny_{name}" / "1").engine else 0
    assert out[-2:] == [
        f"{6 + built} files are as they were shipped",
        f"tiny_{name} version 1 on cpu is equal to its model: all {len(out) - 2} checks passed",
    ]
    assert any(line.startswith("ok     graze a face: rgb error: got ") for line in out)
    assert any(
        line.startswith("ok     golden/000_r_0.png: steps of 255 in the picture: got ") for line in out
    )


@pytest.mark.parametrize("name", FORMATS)
def test_it_needs_nothing_of_training(tiny_repository, tmp_path, name: str):
    """Neither torch, except for the formats that are torch's own."""
    forbidden = ["neurocity.training", "neurocity.data", "neurocity.checkpoint", "neurocity.rendering"]
    forbidden += ["neurocity.families", "pytorch_lightning", "lightning", "torchmetrics", "serving"]
    forbidden += [f"neurocity.{family}" for family in FAMILIES]
    if name not in ("aotinductor", "torchscript"):
        forbidden.append("torch")
    version = shutil.copytree(tiny_repository / f"tiny_{name}", tmp_path / f"tiny_{name}")
    code = f"""
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name in {forbidden!r}:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Absent())
sys.path.append({str(Path(__file__).parent)!r})
import toy_kernels
toy_kernels.register()
from export.commands.verify import main
sys.exit(main([{str(version)!r}]))
"""
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "is equal to its model" in run.stdout


def test_the_newest_version_of_a_model_is_meant(repository, capsys):
    model = repository / "tiny_torchscript"
    shutil.copytree(model / "1", model / "10")
    _edit(model / "10", version=10)
    shutil.copytree(model / "1", model / "9")
    assert main([str(model)]) == 0
    assert "tiny_torchscript version 10 on cpu is equal" in capsys.readouterr().out


def test_another_model_is_found(repository, capsys):
    version = repository / "tiny_onnx" / "1"
    _flip_a_weight(version)
    assert main([str(version)]) == 3
    out = capsys.readouterr().out
    assert "FAILED held-out rays: rgb error: got " in out
    assert "FAILED golden/" in out
    assert "FAILED view r_" in out
    assert out.splitlines()[-1].startswith("tiny_onnx version 1 on cpu is not equal to its model: ")


def test_the_stored_tolerance_is_what_counts(repository, capsys):
    version = repository / "tiny_onnx" / "1"
    parity = _manifest(version).parity
    _edit(version, parity=parity | {"tolerance": parity["tolerance"] | {"ssim": 1.5}})
    assert main([str(version)]) == 3
    failed = [line for line in capsys.readouterr().out.splitlines() if line.startswith("FAILED")]
    assert len(failed) == 1
    assert "ssim: got 1, expected at least 1.5" in failed[0]


def test_json_has_the_same_checks(repository, capsys):
    version = repository / "tiny_onnx" / "1"
    assert main([str(version), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    about = {name: found[name] for name in ("model", "version", "ran_on", "passed")}
    assert about == {"model": "tiny_onnx", "version": 1, "ran_on": "cpu", "passed": True}
    assert set(found["checks"][0]) == {"name", "where", "got", "expected", "passed"}
    _flip_a_weight(version)
    assert main([str(version), "--json"]) == 3
    assert json.loads(capsys.readouterr().out)["passed"] is False
    (version / "model.onnx").unlink()
    assert main([str(version), "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["passed"] is False
    assert "model.onnx: cannot be read (No such file or directory)" in found["error"]


def test_broken_files_are_all_named(repository, capsys):
    version = repository / "tiny_onnx" / "1"
    rays = version / "golden" / "rays.npz"
    (version / "model.onnx").write_bytes((version / "model.onnx").read_bytes()[:-1])
    content = bytearray(rays.read_bytes())
    content[500] ^= 1
    rays.write_bytes(content)
    (version / "golden" / "000_r_0.png").unlink()
    assert main([str(version)]) == 1
    error = capsys.readouterr().err
    assert "3 of 6 files are broken" in error
    assert "model.onnx: has " in error
    assert "golden/rays.npz: has SHA-256 " in error
    assert "golden/000_r_0.png: cannot be read (No such file or directory)" in error


def test_an_engine_is_a_file_like_the_others(repository, capsys):
    version = repository / "tiny_onnx" / "1"
    (version / "model.plan").write_bytes(b"an engine")
    record = {"file": "model.plan", "sha256": hashlib.sha256(b"an engine").hexdigest(), "bytes": 9}
    _edit(version, engine=record)
    assert main([str(version)]) == 0
    assert "7 files are as they were shipped" in capsys.readouterr().out
    (version / "model.plan").write_bytes(b"an angine")
    assert main([str(version)]) == 1
    assert "model.plan: has SHA-256 " in capsys.readouterr().err


@pytest.mark.parametrize("name", ["../../secret", "/etc/hostname"])
def test_files_elsewhere_are_not_read(repository, name: str, capsys):
    version = repository / "tiny_onnx" / "1"
    golden = _manifest(version).golden
    assert golden is not None
    _edit(version, golden=replace(golden, rays=replace(golden.rays, name=name)))
    assert main([str(version)]) == 1
    assert f"{name}: is not a place in the version folder" in capsys.readouterr().err


def test_a_folder_that_is_no_version_is_said(repository, tmp_path, capsys):
    version = repository / "tiny_onnx" / "1"
    for folder in (tmp_path / "absent", repository, tmp_path):
        assert main([str(folder)]) == 1
        assert "has neither a manifest.json nor version folders" in capsys.readouterr().err
    moved = version.rename(version.parent / "2")
    assert main([str(moved)]) == 1
    assert "describes tiny_onnx/1, which is not where it stands" in capsys.readouterr().err
    moved.rename(version)
    golden = _manifest(version).golden
    _edit(version, golden=None)
    assert main([str(version)]) == 1
    assert "names no golden files" in capsys.readouterr().err
    _edit(version, golden=golden, parity={})
    assert main([str(version)]) == 1
    assert "parity.tolerance is not that of this release" in capsys.readouterr().err
    (version / MANIFEST_FILE).write_text("{")
    assert main([str(version)]) == 1
    assert "not valid JSON" in capsys.readouterr().err


def test_a_golden_view_that_does_not_fit_its_record_is_refused(repository, capsys):
    version = repository / "tiny_onnx" / "1"
    golden = _manifest(version).golden
    assert golden is not None
    for change, message in (({"width": 20}, "expected (14, 20) pixels"), ({"view": 7}, "3 held-out views")):
        _edit(version, golden=replace(golden, views=(replace(golden.views[0], **change),)))
        assert main([str(version)]) == 1
        assert message in capsys.readouterr().err


def test_a_manifest_without_golden_files_and_profile_still_reads(tiny_repository):
    data = json.loads((tiny_repository / "tiny_onnx" / "1" / MANIFEST_FILE).read_text())
    del data["golden"], data["profile"]
    manifest = manifest_from_json(json.dumps(data))
    assert manifest.golden is None
    assert manifest.profile == {}


def test_a_file_that_the_runtime_cannot_open_exits_1(repository, capsys):
    version = repository / "tiny_onnx" / "1"
    _replace_artefact(version, b"not a model")
    assert main([str(version)]) == 1
    assert "model.onnx: ONNX Runtime cannot open it" in capsys.readouterr().err


def test_missing_packages_and_devices_exit_5(repository, monkeypatch, capsys):
    version = repository / "tiny_torchscript" / "1"
    if not torch.cuda.is_available():
        assert main([str(version), "--device", "cuda"]) == 5
        assert "no CUDA device" in capsys.readouterr().err
    for module in ("export.formats.onnx", "export.onnx.file", "neurocity.onnx_session"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert main([str(repository / "tiny_onnx")]) == 5
    assert "needs the package 'onnxruntime'" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "tritonclient.grpc", None)
    assert main([str(version), "--url", "127.0.0.1:1"]) == 5
    assert "a Triton server is asked with tritonclient" in capsys.readouterr().err


def test_usage(repository, capsys):
    version = str(repository / "tiny_onnx" / "1")
    assert main([version, "--url", "127.0.0.1:1", "--device", "cpu"]) == 2
    assert "device: got cpu beside --url" in capsys.readouterr().err
    with pytest.raises(SystemExit) as stopped:
        main([])
    assert stopped.value.code == 2


def test_a_server_that_is_not_there_exits_1(tiny_repository, capsys):
    assert main([str(tiny_repository / "tiny_onnx"), "--url", "127.0.0.1:1"]) == 1
    assert "Triton at 127.0.0.1:1: " in capsys.readouterr().err


def test_a_server_that_is_lost_on_the_way_is_no_inequality(tiny_repository, monkeypatch, capsys):
    def lost(_rays):
        raise EngineUnavailableError("Triton at server:1: connection lost")

    monkeypatch.setattr("export.commands.verify.open_on_server", lambda _url, _manifest: (lost, ()))
    assert main([str(tiny_repository / "tiny_onnx"), "--url", "server:1"]) == 1
    assert "connection lost" in capsys.readouterr().err


def test_a_triton_server_is_verified_over_grpc(repository, tmp_path, capsys):
    """Its copy of an artefact is equal; another artefact and another version are not."""
    served = shutil.copytree(repository, tmp_path / "served")
    _flip_a_weight(served / "tiny_onnx" / "1")
    (served / "tiny_onnx" / "config.pbtxt").unlink()  # to be written anew, for what is served now
    shutil.rmtree(served / "tiny_onnx" / "warmup")
    shutil.rmtree(served / "tiny_tensorrt")  # its backend needs a GPU
    shutil.rmtree(served / "tiny_native")  # its kernel is known to this process alone
    with triton_server.triton_server(served) as server:
        url = ["--url", server.grpc_url]
        assert main([str(repository / "tiny_torchscript"), *url]) == 0
        out = capsys.readouterr().out
        assert f"tiny_torchscript version 1 on the Triton server {server.grpc_url} is equal" in out
        assert "ok     server's tiny_torchscript: artefact SHA-256" in out

        # Tensors of a compiled package have no names but their places.
        assert main([str(repository / "tiny_aotinductor"), *url]) == 0
        assert "tiny_aotinductor version 1 on the Triton server" in capsys.readouterr().out

        assert main([str(repository / "tiny_onnx"), *url]) == 3
        out = capsys.readouterr().out
        assert "FAILED server's tiny_onnx: artefact SHA-256" in out
        assert "FAILED held-out rays: rgb error" in out

        model = repository / "tiny_torchscript"
        (model / "1").rename(model / "3")
        _edit(model / "3", version=3)
        assert main([str(model), *url]) == 1
        assert f"Triton at {server.grpc_url}: " in capsys.readouterr().err
