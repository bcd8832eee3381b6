"""`neurocity-export inspect`: every kind of path, and what is wrong with it."""

import hashlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import nvlabs_model
import onnx
import pytest
import torch
from fixtures_export import FORMATS
from svraster_scene import random_model

from export.cli import main
from export.formats.registry import get_format
from neurocity.checkpoint import load_checkpoint
from neurocity.contract import manifest_from_json


@pytest.fixture
def inspect(capsys):
    """The exit code, what is printed as JSON (None when nothing is), and the messages."""

    def run(path: Path) -> tuple[int, Any, str]:
        code = main(["inspect", str(path), "--json"])
        out, err = capsys.readouterr()
        return code, json.loads(out) if out else None, err

    return run


@pytest.fixture
def repository(tiny_repository, tmp_path) -> Path:
    """A copy that may be damaged."""
    return Path(shutil.copytree(tiny_repository, tmp_path / "models"))


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_checkpoint(inspect, ngp_checkpoint):
    code, found, _ = inspect(ngp_checkpoint)
    assert code == 0
    checkpoint = load_checkpoint(ngp_checkpoint)
    assert (found["kind"], found["family"], found["step"]) == ("checkpoint", "instant_ngp", 7)
    assert (found["sha256"], found["bytes"]) == (_sha256(ngp_checkpoint), ngp_checkpoint.stat().st_size)
    assert found["bounds"] == list(checkpoint.info.bounds)
    assert found["views"] == 3
    assert found["metrics"] == {"val/psnr": 10.0}
    assert found["values"] == sum(tensor.numel() for tensor in checkpoint.model.state_dict().values())
    assert found["model_config"]["num_levels"] == 2


def test_a_model_of_another_program(inspect, tmp_path):
    model = random_model(sh_degree=1)
    content = nvlabs_model.model_content(model, center=(0.0, 1.0, 0.0), extent=4.0, outside_level=1)
    code, found, _ = inspect(nvlabs_model.write(content, tmp_path))
    assert (code, found["kind"]) == (0, "SVRaster model of another program")
    assert found["voxels"] == len(model.voxel_level)
    assert sum(found["voxels_by_level"].values()) == found["voxels"]
    assert found["grid_points"] == len(model.density)
    assert found["bounds"] == [-1.0, 0.0, -1.0, 1.0, 2.0, 1.0]


@pytest.mark.parametrize("name", FORMATS)
def test_an_artefact_and_its_version(inspect, tiny_repository, name):
    target = get_format(name)
    folder = tiny_repository / f"tiny_{name}" / "1"
    path = folder / target.file_name
    code, inside, _ = inspect(path)
    assert (code, inside["kind"], inside["format"]) == (0, "artefact", name)
    assert inside["sha256"] == _sha256(path)
    assert [(spec["name"], spec["shape"]) for spec in inside["inputs"]] == [
        (spec.name, list(spec.shape)) for spec in target.signature(path).inputs
    ]
    assert len(inside["outputs"]) == 3
    for place in (folder, folder / "manifest.json"):
        code, found, _ = inspect(place)
        manifest = manifest_from_json((folder / "manifest.json").read_text())
        assert (code, found["kind"], found["problem"]) == (0, "version", "")
        assert found["artefact"]["sha256"] == manifest.artefact.sha256 == inside["sha256"]
        assert found["parity"]["psnr_db"] >= 60.0
        assert found["parity"]["checks_passed"] == manifest.parity["checks_passed"]
        for key in ("scene", "version", "family", "precision", "bounds", "checkpoint_sha256"):
            assert found[key] == inside[key], key
        # The library that built an engine is known once it is built.
        assert inside["tools"].items() <= found["tools"].items()


def test_a_model_and_a_repository(inspect, tiny_repository):
    code, model, _ = inspect(tiny_repository / "tiny_onnx")
    assert (code, model["kind"]) == (0, "model")
    assert [version["format"] for version in model["versions"]] == ["onnx"]
    code, found, _ = inspect(tiny_repository)
    assert (code, found["kind"]) == (0, "repository")
    assert sorted(version["format"] for version in found["versions"]) == sorted(FORMATS)


def test_what_is_damaged_is_said_and_the_rest_is_shown(inspect, repository, capsys):
    with (repository / "tiny_onnx" / "1" / "model.onnx").open("ab") as file:
        file.write(b"more")
    (repository / "tiny_torchscript" / "1" / "manifest.json").write_text("{")
    code, found, err = inspect(repository)
    assert code == 1
    assert re.search(r"tiny_onnx/1: model.onnx: has \d+ bytes, its manifest says \d+", err)
    assert "tiny_torchscript/1/manifest.json: not valid JSON" in err
    assert len(found["versions"]) == len(FORMATS)
    (repository / "tiny_onnx" / "1" / "model.onnx").unlink()
    code, found, err = inspect(repository / "tiny_onnx")
    assert (code, found["versions"][0]["problem"]) == (
        1,
        "model.onnx: cannot be read (No such file or directory)",
    )
    assert main(["inspect", str(repository)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert any(line.endswith(" MiB, damaged") for line in lines)
    assert any(line.endswith("tiny_torchscript/1: cannot be read") for line in lines)


def test_an_engine_is_described_with_its_version(inspect, repository):
    engine = repository / "tiny_tensorrt" / "1" / "model.plan"
    code, found, _ = inspect(engine)
    assert (code, found["kind"], found["format"], found["problem"]) == (0, "version", "tensorrt", "")
    engine.write_bytes(bytes(reversed(engine.read_bytes())))
    code, found, _ = inspect(engine.parent)
    assert code == 1
    assert found["problem"].startswith("model.plan: has SHA-256 ")


def test_a_foreign_artefact_has_inputs_and_no_manifest(inspect, tmp_path):
    value = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["n", 4])
    result = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["n", 4])
    node = onnx.helper.make_node("Relu", ["x"], ["y"])
    graph = onnx.helper.make_graph([node], "other", [value], [result])
    onnx.save(onnx.helper.make_model(graph), tmp_path / "other.onnx")
    code, found, err = inspect(tmp_path / "other.onnx")
    assert code == 1
    assert found["inputs"] == [{"name": "x", "dtype": "float32", "shape": ["n", 4]}]
    assert "is not of neurocity-export: " in err


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.ckpt", None, "no such file or folder; expected a checkpoint, an artefact"),
        ("photo.ckpt", b"not a checkpoint", "cannot be read as a checkpoint"),
        ("half.onnx", b"\x08\x0a\x12\xff", "half.onnx: cannot be read as onnx"),
        ("half.pt", b"PK\x03\x04", "cannot be read as a checkpoint"),
    ],
)
def test_what_is_nothing_of_ours_exits_1(inspect, tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    code, found, err = inspect(tmp_path / name)
    assert (code, found) == (1, None)
    assert message in err


def test_an_empty_folder_exits_1(inspect, tmp_path):
    code, found, err = inspect(tmp_path)
    assert (code, found) == (1, None)
    assert "is neither a version folder (with a manifest.json), nor a model folder" in err


def test_weights_of_something_else_are_no_checkpoint(inspect, tmp_path):
    torch.save({"weight": torch.zeros(3)}, tmp_path / "other.pt")
    code, _, err = inspect(tmp_path / "other.pt")
    assert code == 1
    assert "is not a NeuroCity checkpoint" in err


def test_onnx_and_folders_are_inspected_without_torch(tiny_repository):
    code = """
import sys
from export.cli import main
for path in sys.argv[1:]:
    assert main(["inspect", path]) == 0
assert "torch" not in sys.modules
"""
    folder = tiny_repository / "tiny_onnx"
    paths = [tiny_repository, folder, folder / "1", folder / "1" / "model.onnx"]
    shown = subprocess.run([sys.executable, "-c", code, *paths], capture_output=True, text=True, check=True)
    lines = shown.stdout.splitlines()
    assert "  ray_origins float32 [rays, 3]" in lines
    assert sum(line == "scene: tiny" for line in lines) == 2
