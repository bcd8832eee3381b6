"""Jobs of an export, which are processes of their own, made to see the tiny field.

Python itself imports `sitecustomize` when it starts; there the tests change what a job finds.
"""

import hashlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import tyro
from fixtures_export import tiny_checkpoint

TESTS = Path(__file__).parent

_TINY = f"""
import os, signal, sys, time
sys.path.append({str(TESTS)!r})
import export.job.run
import toy_kernels
toy_kernels.register()
from fixtures_stages import tiny_checkpoint_in
from export.formats.torchscript import TorchScriptFormat
from tiny_field import TinyField
export.job.run.open_checkpoint = tiny_checkpoint_in
"""


def tiny_checkpoint_in(path: Path, cameras: Path | None = None, **changes: Any) -> Any:
    """As `open_checkpoint`: the tiny field, with the SHA-256 of the file that stands for it."""
    assert cameras is None
    return tiny_checkpoint(sha256=hashlib.sha256(path.read_bytes()).hexdigest(), **changes)


def start_stages_with(monkeypatch: pytest.MonkeyPatch, folder: Path, code: str = "") -> None:
    """Has every stage see the tiny field, and run some code before it begins; `folder` keeps that."""
    start = folder / "start"
    start.mkdir(exist_ok=True)
    (start / "sitecustomize.py").write_text(_TINY + code)
    monkeypatch.setenv("PYTHONPATH", str(start))


@pytest.fixture
def change_stages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """`start_stages_with` some code."""
    return partial(start_stages_with, monkeypatch, tmp_path)


@pytest.fixture
def tiny(change_stages: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The repository that is exported into, from a folder with `tiny.ckpt` for the tiny field."""
    change_stages()
    (tmp_path / "tiny.ckpt").write_bytes(b"stands for the tiny field")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "model_repository"


@pytest.fixture
def run_stage(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., int]:
    """The job of `neurocity-export tiny.ckpt --name tiny ...` in this process, on a changed checkpoint."""
    import export.job.__main__  # noqa: PLC0415
    import export.job.run  # noqa: PLC0415
    from export.job.request import ExportRequest  # noqa: PLC0415

    checkpoint = tmp_path / "tiny.ckpt"
    checkpoint.write_bytes(b"stands for the tiny field")

    def run(*arguments: object, **changes: Any) -> int:
        monkeypatch.setattr(
            export.job.run, "open_checkpoint", lambda path, _: tiny_checkpoint_in(path, **changes)
        )
        words = [checkpoint, "--name", "tiny", "--rays-per-call", 512, "--profile-seconds", 0, *arguments]
        (job,) = tyro.cli(ExportRequest, args=list(map(str, words))).jobs()
        return export.job.__main__.main([job.to_json()])

    return run
