"""`neurocity-export`: exit codes, messages, and what stays in the repository."""

import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from fixtures_export import tiny_checkpoint, tiny_info
from tiny_field import TinyField
from torch import nn

import export.pipeline
from export.cli import exit_code, main
from export.config import ExportConfig
from export.pipeline import export_model
from export.registry import get_format
from neurocity import errors
from neurocity.contract import manifest_from_json

FAST = ("--rays-per-call", "512")


class _Poisoned(nn.Module):
    """Not a number on every ray that flies exactly along z."""

    def __init__(self) -> None:
        super().__init__()
        self.field = TinyField()
        self.sample_budget = self.field.sample_budget
        self.truncated_rays = self.field.truncated_rays

    def forward(self, ray_origins: torch.Tensor, ray_directions: torch.Tensor):
        rgb, depth, opacity = self.field(ray_origins, ray_directions)
        return rgb, torch.where(ray_directions[:, 2].abs() == 1.0, math.nan, depth), opacity


@pytest.fixture
def checkpoint(monkeypatch):
    """Makes `neurocity-export FILE` see the tiny field in FILE, or the checkpoint it is called with."""

    def put(found=None):
        monkeypatch.setattr(export.pipeline, "load_checkpoint", lambda _path: found or tiny_checkpoint())

    return put


def _run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


def test_a_scene_is_exported_and_the_figures_are_shown(tmp_path, checkpoint, capsys):
    checkpoint()
    assert _run("c.ckpt", "--out", tmp_path, "--name", "tiny", "--formats", "torchscript", *FAST) == 0
    folder = tmp_path / "tiny_torchscript"
    assert {path.name for path in (folder / "1").iterdir()} == {"model.pt", "manifest.json", "report.md"}
    out, err = capsys.readouterr()
    assert f"wrote {folder / '1'}" in out
    assert "200.0" in out
    stages = [line.split(": done in ")[0] for line in err.splitlines()]
    assert stages == [
        "counting truncated rays",
        "torchscript: writing",
        "torchscript: comparing held-out views",
        "torchscript: comparing adversarial rays",
    ]


def test_a_second_export_needs_force_or_another_version(tmp_path, checkpoint, capsys):
    checkpoint()
    command = ("c.ckpt", "--out", tmp_path, "--name", "tiny", "--formats", "torchscript", *FAST)
    assert _run(*command) == 0
    before = (tmp_path / "tiny_torchscript" / "1" / "manifest.json").read_bytes()
    assert _run(*command) == 1
    assert "has a version 1 already; --force replaces it, --version 2 adds one" in capsys.readouterr().err
    assert (tmp_path / "tiny_torchscript" / "1" / "manifest.json").read_bytes() == before
    assert _run(*command, "--version", 2) == 0
    assert _run(*command, "--force") == 0
    assert {entry.name for entry in (tmp_path / "tiny_torchscript").iterdir()} == {"1", "2", "config.pbtxt"}


def test_a_model_that_is_not_a_number_somewhere_exits_3_and_ships_nothing(tmp_path, checkpoint, capsys):
    checkpoint(tiny_checkpoint(model=_Poisoned().eval()))
    assert _run("c.ckpt", "--out", tmp_path, "--name", "tiny", "--formats", "torchscript", *FAST) == 3
    message = capsys.readouterr().err
    assert "along an axis: values not finite: got " in message
    assert "expected 0" in message
    assert list(tmp_path.iterdir()) == []


def test_one_format_that_fails_does_not_stop_the_others(tmp_path, checkpoint, capsys, monkeypatch):
    """The first is refused, the second shipped; the code is the refusal's."""
    checkpoint()

    def refuse(*_):
        raise errors.UnsupportedError("ONNX cannot express this model: no operator")

    monkeypatch.setattr(type(get_format("onnx")), "encode", refuse)
    formats = ("--formats", "onnx", "torchscript")
    assert _run("c.ckpt", "--out", tmp_path, "--name", "tiny", *formats, *FAST) == 4
    assert "error: onnx: ONNX cannot express this model: no operator" in capsys.readouterr().err
    assert [entry.name for entry in tmp_path.iterdir()] == ["tiny_torchscript"]


def test_what_a_converter_raises_is_an_export_error_with_its_name(tmp_path, monkeypatch):
    def crash(*_):
        raise IndexError("list index out of range")

    monkeypatch.setattr(type(get_format("onnx")), "encode", crash)
    config = ExportConfig(name="tiny", out=tmp_path, formats=("onnx",), rays_per_call=64)
    (error,) = export_model(tiny_checkpoint(), config).errors
    assert type(error) is errors.ExportError
    assert str(error) == "the model could not be written: IndexError: list index out of range"
    assert list(tmp_path.iterdir()) == []


def test_a_missing_package_exits_5_and_says_what_brings_it(tmp_path, checkpoint, capsys, monkeypatch):
    checkpoint()
    for module in ("export.formats.onnx", "export.onnx_file"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert _run("c.ckpt", "--out", tmp_path, "--name", "tiny", "--formats", "onnx", *FAST) == 5
    assert "needs the package 'onnxruntime'" in capsys.readouterr().err


@pytest.mark.skipif(torch.cuda.is_available(), reason="asserts what happens without CUDA")
def test_a_missing_device_exits_5(tmp_path, checkpoint):
    checkpoint()
    assert _run("c.ckpt", "--out", tmp_path, "--name", "tiny", "--device", "cuda") == 5
    assert list(tmp_path.iterdir()) == []


def test_a_scene_without_held_out_views_exits_1(tmp_path, checkpoint, capsys):
    checkpoint(tiny_checkpoint(info=tiny_info(views=())))
    assert _run("c.ckpt", "--out", tmp_path, "--name", "tiny") == 1
    assert "no held-out views" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--name", "Lego Scene"), "name: got 'Lego Scene', expected lower-case letters"),
        (("--name", "../lego"), "name: got '../lego'"),
        (("--name", "lego", "--formats", "onnxx"), "did you mean 'onnx'?"),
        (("--name", "lego", "--formats", "onnx", "onnx"), "expected each format once"),
        (("--name", "lego", "--version", "0"), "version: got 0, expected a whole number of at least 1"),
        (("--name", "lego", "--rays-per-call", "0"), "rays_per_call: got 0"),
        (("--name", "lego", "--formats"), "formats: got none"),
    ],
)
def test_a_wrong_value_exits_2_and_names_the_option(tmp_path, capsys, arguments, message):
    assert _run("c.ckpt", "--out", tmp_path, *arguments) == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arguments", [(), ("c.ckpt",), ("c.ckpt", "--name", "x", "--precision", "fp4")])
def test_a_command_line_that_cannot_be_parsed_exits_2(arguments):
    with pytest.raises(SystemExit) as stopped:
        _run(*arguments)
    assert stopped.value.code == 2


def test_every_error_has_an_exit_code():
    assert exit_code(errors.ConfigError("x")) == 2
    assert exit_code(errors.ParityError("x")) == 3
    assert exit_code(errors.UnsupportedError("x")) == 4
    assert exit_code(errors.MissingDependencyError("x")) == 5
    for kind in (errors.ExportError, errors.CheckpointError, errors.ManifestError):
        assert exit_code(kind("x")) == 1


def test_a_file_that_is_no_checkpoint_exits_1(tmp_path, capsys):
    (tmp_path / "photo.ckpt").write_bytes(b"not a checkpoint")
    assert _run(tmp_path / "photo.ckpt", "--out", tmp_path / "out", "--name", "tiny") == 1
    assert "photo.ckpt" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_help_answers_without_loading_torch():
    code = """
import sys
from export.cli import main
try:
    main(["--help"])
finally:
    assert "torch" not in sys.modules
"""
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    for option in ("--name", "--out", "--formats", "--version", "--force", "--device"):
        assert option in shown.stdout


def test_progress_bars_on_a_terminal(tmp_path, checkpoint, monkeypatch, capsys):
    """A terminal gets bars, not lines; what is said at the end is the same."""
    checkpoint()
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    assert _run("c.ckpt", "--out", tmp_path, "--name", "tiny", "--formats", "torchscript", *FAST) == 0
    out, err = capsys.readouterr()
    assert "torchscript: comparing held-out views" in err
    assert "done in" not in err
    assert "tiny_torchscript" in out


def test_the_report_is_made_from_the_manifest_alone(tiny_repository: Path):
    from export.report import markdown  # noqa: PLC0415

    for folder in tiny_repository.glob("tiny_*/1"):
        manifest = manifest_from_json((folder / "manifest.json").read_text())
        text = (folder / "report.md").read_text()
        assert markdown(manifest) == text
        assert manifest.artefact.sha256 in text
        for view in manifest.info.views:
            assert f"| {view.name} |" in text
        for found in manifest.parity["rays"]:
            assert f"| {found['rays']} |" in text
        assert "samples_per_ray" in text
        assert "truncated_ray_share" in text
