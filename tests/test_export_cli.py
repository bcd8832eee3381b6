"""`neurocity-export`: exit codes, messages, and what stays in the repository."""

import json
import math
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import torch
from fixtures_export import export_tiny, tiny_info
from tiny_field import TinyField
from torch import nn

import export.commands
from export.cli import commands, main
from export.formats.registry import format_names, get_format
from export.job.request import ExportRequest, scene_name
from neurocity import errors
from neurocity.contract import manifest_from_json
from neurocity.exit_codes import exit_code

FAST = ("--rays-per-call", "512", "--profile-seconds", "0")
TORCHSCRIPT = ("--formats", "torchscript")


class _Poisoned(nn.Module):
    """Not a number on every ray that flies exactly along z."""

    needs_ray_radii = False

    def __init__(self) -> None:
        super().__init__()
        self.field = TinyField()
        self.sample_budget = self.field.sample_budget

    def forward(self, ray_origins: torch.Tensor, ray_directions: torch.Tensor):
        rgb, depth, opacity = self.field(ray_origins, ray_directions)
        return rgb, torch.where(ray_directions[:, 2].abs() == 1.0, math.nan, depth), opacity


def _run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


def test_a_scene_is_exported_and_the_figures_are_shown(tiny, capsys):
    assert _run("tiny.ckpt", *TORCHSCRIPT, *FAST) == 0
    folder = tiny / "tiny_torchscript"
    assert {path.name for path in (folder / "1").iterdir()} == {
        "model.pt",
        "manifest.json",
        "report.md",
        "parity",
        "golden",
    }
    out, err = capsys.readouterr()
    figures, wrote = out.splitlines()
    assert figures.startswith("tiny_torchscript: version 1, PSNR, dB 200.0, SSIM 1.000000, ")
    assert wrote == "wrote model_repository/tiny_torchscript/1"
    name, *lines = err.splitlines()
    assert name == "scene tiny"
    assert [line.split(": done in ")[0] for line in lines] == [
        "torchscript: writing",
        "torchscript: comparing held-out views",
        "torchscript: comparing adversarial rays",
    ]


def test_every_precision_of_every_format_is_a_job():
    request = ExportRequest(
        checkpoint=Path("runs/lego/checkpoints/last.ckpt"),
        formats=("all",),
        precision=("fp32", "fp16"),
        version=7,
        resume=True,
    )
    jobs = request.jobs()
    assert [(job.format, job.precision) for job in jobs] == [
        (name, precision) for name in format_names() for precision in ("fp32", "fp16")
    ]
    assert {job.folder.name for job in jobs} == {"7"}
    assert {job.name for job in jobs} == {"lego"}
    assert all(job.resume and job.checkpoint == request.checkpoint for job in jobs)


def test_outcomes_as_json(tiny, capsys):
    """The tiny field has no half precision: that is refused, and the other half shipped."""
    assert _run("tiny.ckpt", *TORCHSCRIPT, "--precision", "fp32", "fp16", *FAST, "--json") == 4
    document = json.loads(capsys.readouterr().out)
    assert (document["exit_code"], document["error"]) == (4, None)
    shipped, refused = document["stages"]
    assert (shipped["status"], shipped["precision"], shipped["error"]) == ("shipped", "fp32", None)
    manifest = manifest_from_json((Path(shipped["folder"]) / "manifest.json").read_text())
    assert shipped["artefact"]["sha256"] == manifest.artefact.sha256
    assert shipped["figures"]["psnr_db"] >= 60.0
    assert (refused["status"], refused["precision"], refused["folder"]) == ("failed", "fp16", None)
    assert (refused["error"]["kind"], refused["error"]["exit_code"]) == ("UnsupportedError", 4)
    assert "TinyField has no half precision" in refused["error"]["message"]
    assert [entry.name for entry in tiny.iterdir()] == ["tiny_torchscript"]


def test_a_second_export_needs_force_or_another_version(run_stage, tiny, capsys):
    first = (*TORCHSCRIPT, "--out", tiny)
    assert run_stage(*first) == 0
    before = (tiny / "tiny_torchscript" / "1" / "manifest.json").read_bytes()
    command = ("tiny.ckpt", *TORCHSCRIPT, *FAST)
    assert _run(*command) == 1
    assert "has a version 1 already; --force replaces it, --version 2 adds one" in capsys.readouterr().err
    assert (tiny / "tiny_torchscript" / "1" / "manifest.json").read_bytes() == before
    assert run_stage(*first, "--version", 2) == 0
    assert _run(*command, "--force") == 0
    entries = {entry.name for entry in (tiny / "tiny_torchscript").iterdir()}
    assert entries == {"1", "2", "config.pbtxt", "warmup"}


def test_a_model_that_is_not_a_number_somewhere_exits_3_and_ships_nothing(
    run_stage, tmp_path, capsys, monkeypatch
):
    """Pictures of what differs are kept, but not in the repository or beside it."""
    out, temporary = tmp_path / "repository" / "models", tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    assert run_stage(*TORCHSCRIPT, "--out", out, model=_Poisoned().eval()) == 3
    message = capsys.readouterr().err
    assert "along an axis: values not finite: got " in message
    assert "expected 0" in message
    assert [entry.name for entry in out.parent.iterdir()] == ["models"]
    assert list(out.iterdir()) == []
    (place,) = re.findall(r"pictures of what differs are in (\S+)", message)
    assert Path(place).is_relative_to(temporary)
    assert "worst_view.png" in {picture.name for picture in Path(place).iterdir()}


def test_one_stage_that_fails_does_not_stop_the_others(tiny, capsys):
    """The first is refused, the second shipped; the code is the refusal's."""
    assert _run("tiny.ckpt", *TORCHSCRIPT, "--precision", "fp16", "fp32", *FAST) == 4
    out, err = capsys.readouterr()
    assert "error: torchscript fp16: TinyField has no half precision" in err
    assert out.splitlines()[1:] == [
        "failed: torchscript fp16",
        "wrote model_repository/tiny_torchscript/1",
    ]
    assert [entry.name for entry in tiny.iterdir()] == ["tiny_torchscript"]


def test_fail_fast_stops_at_the_first(tiny, capsys):
    precisions = ("--precision", "fp16", "fp32")
    assert _run("tiny.ckpt", *TORCHSCRIPT, *precisions, "--fail-fast", "--json", *FAST) == 4
    stages = json.loads(capsys.readouterr().out)["stages"]
    assert [stage["status"] for stage in stages] == ["failed", "not run"]
    assert not tiny.exists()


def test_what_a_converter_raises_is_an_export_error_with_its_name(tmp_path, monkeypatch):
    def crash(*_):
        raise IndexError("list index out of range")

    monkeypatch.setattr(type(get_format("onnx")), "encode", crash)
    outcome = export_tiny(tmp_path, "onnx")
    assert outcome.error_kind == "ExportError"
    assert outcome.error == "the model could not be written: IndexError: list index out of range"
    assert list(tmp_path.iterdir()) == []


def test_a_missing_package_exits_5_and_says_what_brings_it(run_stage, tmp_path, capsys, monkeypatch):
    for module in ("export.formats.onnx", "export.onnx.file", "neurocity.onnx_session"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert run_stage("--formats", "onnx", "--out", tmp_path / "models") == 5
    assert "needs the package 'onnxruntime'" in capsys.readouterr().err


@pytest.mark.skipif(torch.cuda.is_available(), reason="asserts what happens without CUDA")
def test_a_missing_device_is_said_once_and_exits_5(tiny, capsys):
    assert _run("tiny.ckpt", "--formats", "onnx", "torchscript", "--device", "cuda") == 5
    out, err = capsys.readouterr()
    assert err.count("error: device cuda: torch finds no CUDA device here; use --device cpu") == 1
    assert out.splitlines() == ["failed: onnx", "not run: torchscript"]
    assert not tiny.exists()


def test_a_scene_without_held_out_views_exits_1(run_stage, capsys):
    assert run_stage(*TORCHSCRIPT, info=tiny_info(views=())) == 1
    assert "no held-out views" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--name", "Lego Scene"), "name: got 'Lego Scene', expected lower-case letters"),
        (("--name", "../lego"), "name: got '../lego'"),
        (("--formats", "onnxx"), "did you mean 'onnx'?"),
        (("--formats", "onnx", "onnx"), "expected each format once"),
        (("--formats", "all", "onnx"), "expected 'all' alone"),
        (("--formats",), "formats: got none"),
        (("--precision", "fp16", "fp16"), "precision: got fp16 fp16, expected each once"),
        (("--version", "0"), "version: got 0, expected a whole number of at least 1"),
        (("--rays-per-call", "0"), "rays_per_call: got 0"),
        (("--samples", "0"), "samples: got 0"),
    ],
)
def test_a_wrong_value_exits_2_and_names_the_option(tmp_path, capsys, arguments, message):
    assert _run("c.ckpt", "--out", tmp_path, *arguments) == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_value_is_in_the_json_too(capsys):
    assert _run("c.ckpt", "--formats", "onnxx", "--json") == 2
    document = json.loads(capsys.readouterr().out)
    assert (document["exit_code"], document["stages"]) == (2, [])
    assert document["error"]["kind"] == "ConfigError"
    assert "did you mean 'onnx'?" in document["error"]["message"]


@pytest.mark.parametrize("arguments", [(), ("c.ckpt", "--name", "x", "--precision", "fp4")])
def test_a_command_line_that_cannot_be_parsed_exits_2(arguments):
    with pytest.raises(SystemExit) as stopped:
        _run(*arguments)
    assert stopped.value.code == 2


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("runs/photos/checkpoints/last.ckpt", "photos"),
        ("runs/My Photos (2)/checkpoints/epoch=3.ckpt", "my-photos-2"),
        ("downloads/Lego.ckpt", "lego"),
        ("checkpoints/last.ckpt", Path.cwd().name),
    ],
)
def test_a_scene_is_named_after_its_run(path, name):
    assert scene_name(Path(path)) == name


def test_a_run_whose_name_cannot_be_a_scene_needs_one(capsys):
    assert _run("/runs/東京/checkpoints/last.ckpt") == 2
    assert "nothing of '東京' can stand in a scene's name; give one with --name" in capsys.readouterr().err


def test_every_error_has_an_exit_code():
    assert exit_code(errors.ConfigError("x")) == 2
    assert exit_code(errors.ParityError("x")) == 3
    assert exit_code(errors.UnsupportedError("x")) == 4
    assert exit_code(errors.MissingDependencyError("x")) == 5
    for kind in (errors.ExportError, errors.CheckpointError, errors.ManifestError):
        assert exit_code(kind("x")) == 1


def test_a_file_that_is_no_checkpoint_exits_1_and_is_named_once(tmp_path, capsys):
    (tmp_path / "photo.ckpt").write_bytes(b"not a checkpoint")
    assert _run(tmp_path / "photo.ckpt", "--out", tmp_path / "out") == 1
    err = capsys.readouterr().err
    assert (
        err.count("photo.ckpt: cannot be read as a checkpoint (16 bytes; truncated, or not written by") == 1
    )
    assert not (tmp_path / "out").exists()


def test_help_answers_without_loading_torch_and_lists_the_commands():
    code = """
import sys
from export.cli import main
try:
    main(["--help"])
finally:
    assert "torch" not in sys.modules
"""
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    for option in ("--name", "--out", "--formats", "--version", "--force", "--device", "--resume"):
        assert option in shown.stdout
    for name in commands():
        assert f"neurocity-export {name}: " in shown.stdout


def test_a_module_in_the_folder_of_commands_is_one(tmp_path, monkeypatch, capsys):
    (tmp_path / "build_nothing.py").write_text(
        '"""Build nothing."""\ndef main(words): print(words); return 4\n'
    )
    monkeypatch.setattr(export.commands, "__path__", [*export.commands.__path__, str(tmp_path)])
    assert commands()["build-nothing"] == "Build nothing."
    assert _run("build-nothing", "--now", "x") == 4
    assert capsys.readouterr().out == "['--now', 'x']\n"
    monkeypatch.delitem(sys.modules, "export.commands.build_nothing")


def test_progress_bars_on_a_terminal(tiny, monkeypatch, capsys):
    """A terminal gets bars and a table, not lines."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("COLUMNS", "120")
    assert _run("tiny.ckpt", *TORCHSCRIPT, *FAST) == 0
    out, err = capsys.readouterr()
    assert "torchscript: comparing held-out views" in err
    assert "done in" not in err
    assert "verified against the float32 model" in out
    assert "tiny_torchscript" in out
    assert (tiny / "tiny_torchscript" / "1" / "model.pt").is_file()


def test_the_report_is_made_from_the_manifest_alone(tiny_repository: Path):
    from export.repository.report import markdown  # noqa: PLC0415

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
        assert ("truncated_ray_share" in text) == ("tensorrt" in manifest.model_name)
