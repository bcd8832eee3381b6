"""Stages of an export, which are processes of their own, made to see the tiny field.

Python itself imports `sitecustomize` when it starts; there the tests change what a stage finds.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fixtures_export import tiny_checkpoint

TESTS = Path(__file__).parent

_TINY = f"""
import os, signal, sys, time
sys.path.append({str(TESTS)!r})
import export.job.run
from fixtures_stages import tiny_checkpoint_in
from export.formats.torchscript import TorchScriptFormat
from tiny_field import TinyField
export.job.run.open_checkpoint = tiny_checkpoint_in
"""


def tiny_checkpoint_in(path: Path, cameras: Path | None = None, **changes: Any) -> Any:
    """As `open_checkpoint`: the tiny field, with the SHA-256 of the file that stands for it."""
    assert cameras is None
    return tiny_checkpoint(sha256=hashlib.sha256(path.read_bytes()).hexdigest(), **changes)


@pytest.fixture
def change_stages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Has every stage see the tiny field, and run some code before it begins."""

    def change(code: str = "") -> None:
        folder = tmp_path / "start"
        folder.mkdir(exist_ok=True)
        (folder / "sitecustomize.py").write_text(_TINY + code)
        monkeypatch.setenv("PYTHONPATH", str(folder))

    return change


@pytest.fixture
def tiny(change_stages: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The repository that is exported into, from a folder with `tiny.ckpt` for the tiny field."""
    change_stages()
    (tmp_path / "tiny.ckpt").write_bytes(b"stands for the tiny field")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "model_repository"


@pytest.fixture
def run_stage(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., int]:
    """`python -m export.job.stage tiny.ckpt --name tiny ...` in this process, on a changed checkpoint."""
    import export.job.run  # noqa: PLC0415
    import export.job.stage  # noqa: PLC0415

    checkpoint = tmp_path / "tiny.ckpt"
    checkpoint.write_bytes(b"stands for the tiny field")

    def run(*arguments: object, **changes: Any) -> int:
        monkeypatch.setattr(
            export.job.run, "open_checkpoint", lambda path, _: tiny_checkpoint_in(path, **changes)
        )
        words = [checkpoint, "--name", "tiny", "--rays-per-call", 512, "--profile-seconds", 0, *arguments]
        return export.job.stage.main([str(word) for word in words])

    return run
