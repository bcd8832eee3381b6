"""Stages of an export are processes: they crash and are interrupted alone, and can be taken up again."""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path

import pytest
from fixtures_export import export_tiny

from export.cli import main
from export.job.job import Job
from export.job.outcome import Outcome
from neurocity.contract import manifest_from_json
from neurocity.errors import ParityError

FAST = ("--rays-per-call", "512")
TORCHSCRIPT = ("--formats", "torchscript")


def _run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


def _left(folder: Path) -> list[str]:
    """What stands in the folder of the command but for what the test put there."""
    return sorted(entry.name for entry in folder.iterdir() if entry.name not in ("start", "tiny.ckpt"))


@pytest.mark.parametrize(
    ("crash", "how"),
    [
        ("import ctypes; ctypes.string_at(0)", "was killed by SIGSEGV before it had an outcome"),
        (
            "os.kill(os.getpid(), signal.SIGKILL)",
            "was killed by SIGKILL, as the system does when memory runs",
        ),
        ("raise BaseException('a bug')", "ended with exit code 1 before it had an outcome"),
    ],
    ids=["segfault", "killed", "bug"],
)
def test_a_converter_that_crashes_is_said_to(tiny, change_stages, capsys, crash, how):
    change_stages(f"""
def encode(self, model, *_):
    {crash}
TorchScriptFormat.encode = encode
""")
    assert _run("tiny.ckpt", *TORCHSCRIPT, *FAST, "--json") == 1
    document = json.loads(capsys.readouterr().out)
    (crashed,) = document["stages"]
    assert crashed["status"] == "failed"
    message = crashed["error"]["message"]
    assert how in message
    assert crashed["command"] in message
    if "SIGSEGV" in how:
        assert "in encode" in message, "the Python stack of the crash"
    assert list(tiny.iterdir()) == []
    assert _left(tiny.parent) == ["model_repository"]


def test_a_crash_leaves_the_others_and_a_command(tiny, change_stages, capsys):
    change_stages("""
def encode(self, model, *_):
    os._exit(7)
whole = TorchScriptFormat.encode
TinyField.halve = lambda self: setattr(TorchScriptFormat, "encode", whole)
TorchScriptFormat.encode = encode
""")
    precision = ("--precision", "fp32", "fp16")
    assert _run("tiny.ckpt", *TORCHSCRIPT, *precision, *FAST, "--json") == 1
    crashed, other = json.loads(capsys.readouterr().out)["stages"]
    assert (crashed["status"], other["status"]) == ("failed", "shipped")
    assert "ended with exit code 7 before it had an outcome" in crashed["error"]["message"]
    assert [entry.name for entry in tiny.iterdir()] == ["tiny_torchscript_fp16"]
    assert _left(tiny.parent) == ["model_repository"]
    words = shlex.split(crashed["command"])
    repeated = subprocess.run([sys.executable, *words[1:]], env=_own_code(), check=False)
    assert repeated.returncode == 7


def _own_code() -> dict[str, str]:
    """The environment of a stage: it finds the code that is tested."""
    paths = (str(Path(__file__).parents[1]), os.environ["PYTHONPATH"])
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


def test_the_json_of_a_job_means_that_job():
    job = Job(
        checkpoint=Path("a b.ckpt"),
        name="lego-2",
        format="onnx",
        precision="fp16",
        cameras=Path("photographs"),
        out=Path("some models"),
        samples=64,
        version=3,
        force=True,
        device="cuda",
        rays_per_call=1024,
        data=Path("a dataset"),
        profile_seconds=2.5,
        instances=2,
        engine="tensorrt",
        resume=True,
        bits=(8, 12, 8),
    )
    defaults = Job(checkpoint=Path("c.ckpt"), name="lego", format="torchscript")
    assert Job.from_json(job.to_json()) == job
    assert Job.from_json(defaults.to_json()) == defaults
    changed = {
        field.name for field in fields(job) if getattr(job, field.name) != getattr(defaults, field.name)
    }
    assert changed == {field.name for field in fields(Job)}, "an option that this test does not try"


@pytest.mark.parametrize(
    ("job", "message"),
    [
        ("c.ckpt", "job: got 'c.ckpt', expected one JSON object of its fields"),
        ('{"checkpoint": "c.ckpt", "name": "lego"}', "missing 1 required keyword-only argument: 'format'"),
        ('{"checkpoint": "c.ckpt", "name": "lego", "format": "onnx", "size": 3}', "'size'"),
        ('{"checkpoint": "c.ckpt", "name": "lego", "format": "onnx", "precision": "fp8"}', "got 'fp8'"),
        ('{"checkpoint": "c.ckpt", "name": "lego", "format": "onnx", "version": "one"}', "version"),
    ],
)
def test_json_that_is_no_job_exits_2(capsys, job, message):
    from export.job.__main__ import main as run_alone  # noqa: PLC0415

    assert run_alone([job]) == 2
    assert message in capsys.readouterr().err


def test_an_outcome_comes_back_from_its_process_as_it_was(tiny_repository):
    job = Job(checkpoint=Path("c.ckpt"), name="tiny", format="onnx", out=tiny_repository)
    manifest = manifest_from_json((job.folder / "manifest.json").read_text())
    for outcome in (
        Outcome(job=job, status="shipped", manifest=manifest, seconds=1.5),
        Outcome.failed(job, ParityError("two\nlines"), everywhere=True),
    ):
        assert "\n" not in outcome.to_json()
        assert Outcome.from_json(job, outcome.to_json()) == outcome
    assert (outcome.error_kind, outcome.exit_code) == ("ParityError", 3)


def test_resume_keeps_what_would_be_the_same_and_makes_the_rest(tiny, run_stage, change_stages, capsys):
    change_stages("TinyField.halve = lambda self: None")
    assert run_stage(*TORCHSCRIPT, "--out", tiny) == 0
    before = (tiny / "tiny_torchscript" / "1" / "manifest.json").read_bytes()
    capsys.readouterr()
    assert _run("tiny.ckpt", *TORCHSCRIPT, "--precision", "fp32", "fp16", *FAST, "--resume") == 0
    *_, kept, wrote = capsys.readouterr().out.splitlines()
    assert kept == "kept, as nothing has changed: model_repository/tiny_torchscript/1"
    assert wrote == "wrote model_repository/tiny_torchscript_fp16/1"
    assert (tiny / "tiny_torchscript" / "1" / "manifest.json").read_bytes() == before


def _edit_tools(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["tools"]["torch"] = "1.0"
    (folder / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder: (folder / "model.pt").write_bytes(b"half"), "its model.pt is damaged (SHA-256"),
        (lambda folder: (folder / "model.pt").unlink(), "its model.pt is missing"),
        (lambda folder: (folder / "manifest.json").write_text("{"), "manifest.json: not valid JSON"),
        (lambda folder: (folder / "manifest.json").unlink(), "No such file or directory"),
        (lambda folder: (folder.parents[2] / "tiny.ckpt").write_bytes(b"more"), "its checkpoint_sha256 is "),
        (_edit_tools, "its tools have torch '1.0' instead of '"),
    ],
    ids=["damaged", "missing", "manifest", "no manifest", "checkpoint", "tools"],
)
def test_resume_refuses_what_is_not_the_same(run_stage, tmp_path, capsys, change, message):
    """And with force it is replaced."""
    command = (*TORCHSCRIPT, "--out", tmp_path / "models", "--resume")
    assert run_stage(*command) == 0
    assert run_stage(*command) == 0
    wrote, kept = capsys.readouterr().out.splitlines()
    assert (wrote.split()[0], kept.split()[0]) == ("wrote", "kept")
    change(tmp_path / "models" / "tiny_torchscript" / "1")
    assert run_stage(*command) == 1
    err = capsys.readouterr().err
    assert message in err
    assert "--force replaces it, --version adds another" in err
    assert run_stage(*command, "--force") == 0
    assert capsys.readouterr().out.startswith("wrote ")
    assert run_stage(*command) == 0
    assert capsys.readouterr().out.startswith("kept ")


def test_resume_compares_the_options(run_stage, tmp_path, capsys):
    command = (*TORCHSCRIPT, "--out", tmp_path / "models", "--resume")
    assert run_stage(*command) == 0
    assert run_stage(*command, "--rays-per-call", 256) == 1
    assert "its options have rays_per_call 512 instead of 256; --force" in capsys.readouterr().err


WAIT = """
def wait(self, *_):
    open("waiting", "w").write(str(os.getpid()))
    time.sleep(600)
"""


@contextmanager
def _waiting_in_its_last_stage(folder: Path, *precision: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """The command when its last stage has begun to write and others are shipped, and that stage's process."""
    command = ["tiny.ckpt", *TORCHSCRIPT, "--precision", *precision, *FAST, "--json"]
    process = subprocess.Popen(
        [sys.executable, "-m", "export.cli", *command],
        env=_own_code(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        _wait_until(lambda: process.poll() is not None or (folder / "waiting").exists())
        _wait_until(lambda: process.poll() is not None or (folder / "waiting").read_text() != "")
        assert process.poll() is None, process.communicate()
        assert len(_left(folder)) == 3, "repository, staging folder, and the file of the test"
        yield process, int((folder / "waiting").read_text())
    finally:
        process.kill()
        process.communicate()


def _wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 240
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def _is_running(process: int) -> bool:
    """Also false when it has ended and nobody has asked how."""
    try:
        status = Path(f"/proc/{process}/stat").read_text()
    except FileNotFoundError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def test_ctrl_c_ends_the_stage_and_leaves_nothing(tiny, change_stages):
    """What was shipped before stays; the running stage's process and its staging folder go."""
    change_stages(WAIT + 'TinyField.halve = lambda self: setattr(TorchScriptFormat, "encode", wait)')
    with _waiting_in_its_last_stage(tiny.parent, "fp32", "fp16") as (process, stage):
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "error: interrupted; torchscript fp16 was not finished" in err
    document = json.loads(out)
    assert document["exit_code"] == 130
    assert [item["status"] for item in document["stages"]] == ["shipped", "not run"]
    assert not _is_running(stage)
    assert _left(tiny.parent) == ["model_repository", "waiting"]
    assert [entry.name for entry in tiny.iterdir()] == ["tiny_torchscript"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_command_that_is_ended_takes_its_stage_with_it(tiny, change_stages, number):
    change_stages(WAIT + "TorchScriptFormat.encode = wait")
    with _waiting_in_its_last_stage(tiny.parent, "fp32") as (process, stage):
        process.send_signal(number)
        out, _ = process.communicate(timeout=120)
        _wait_until(lambda: not _is_running(stage))
    if number == signal.SIGTERM:
        assert process.returncode == json.loads(out)["exit_code"] == 143
    assert _left(tiny.parent) == ["model_repository", "waiting"]


def test_a_disk_that_is_full_is_said_and_leaves_nothing(run_stage, tmp_path, capsys):
    models = tmp_path / "models"
    models.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", str(models)]
    if shutil.which("mount") is None or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("file systems cannot be mounted here")
    try:
        assert run_stage(*TORCHSCRIPT, "--out", models) == 1
        err = capsys.readouterr().err
        assert f"cannot write into the model repository {models}: No space left on device" in err
        assert "nothing was changed" in err
        assert list(models.iterdir()) == []
    finally:
        subprocess.run(["umount", str(models)], check=True)


def test_files_that_may_not_grow_are_a_full_disk(tiny, change_stages, capsys):
    """As above, where nothing can be mounted: the system refuses to write beyond a size."""
    change_stages("""
import resource
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
encode = TorchScriptFormat.encode
def limited(self, *arguments):
    data = encode(self, *arguments)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
    return data
TorchScriptFormat.encode = limited
""")
    assert _run("tiny.ckpt", *TORCHSCRIPT, *FAST) == 1
    err = capsys.readouterr().err
    assert "cannot write into the model repository model_repository: File too large" in err
    assert list(tiny.iterdir()) == []
    assert _left(tiny.parent) == ["model_repository"]


def test_a_repository_that_cannot_be_written_is_named(run_stage, tmp_path, capsys):
    models = tmp_path / "models"
    models.write_text("a file, not a folder")
    assert run_stage(*TORCHSCRIPT, "--out", models) == 1
    assert f"cannot write into the model repository {models}: File exists" in capsys.readouterr().err
    assert models.read_text() == "a file, not a folder"


def test_a_job_refuses_a_version_that_is_there_before_any_work(tiny_repository, monkeypatch):
    monkeypatch.setattr("export.job.run.Reference", lambda *_, **__: pytest.fail("work was done"))
    outcome = export_tiny(tiny_repository, "torchscript")
    assert outcome.error_kind == "ExportError"
    assert "has a version 1 already; --force replaces it" in outcome.error
