"""Models appear in a repository entirely or not at all, whatever happens on the way."""

import errno
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from export import exchange as exchange_module
from export.exchange import exchange
from export.repository import (
    STAGING_PREFIX,
    latest_version,
    publish,
    refuse_overwrite,
    staging,
    write_synced,
)
from neurocity.errors import ExportError

CONFIG = "config.pbtxt"
ROOT = Path(__file__).parents[1]


def _publish(repository: Path, version: int, content: str, *, force: bool = False) -> Path:
    with staging(repository) as folder:
        model = folder / "scene_onnx"
        (model / str(version)).mkdir(parents=True)
        write_synced(model / str(version) / "model.onnx", content.encode())
        write_synced(model / CONFIG, f"version {content}".encode())
        return publish(model, repository, config_file=CONFIG, force=force)


def _tree(repository: Path) -> dict[str, str]:
    files = (path for path in repository.rglob("*") if path.is_file())
    return {str(path.relative_to(repository)): path.read_text() for path in files}


ONE = {"scene_onnx/1/model.onnx": "one", "scene_onnx/config.pbtxt": "version one"}


def test_a_first_version_makes_the_repository(tmp_path):
    repository = tmp_path / "not" / "yet"
    assert _publish(repository, 1, "one") == repository / "scene_onnx" / "1"
    assert _tree(repository) == ONE
    assert [entry.name for entry in repository.iterdir()] == ["scene_onnx"]


def test_an_existing_version_is_refused_and_untouched(tmp_path):
    _publish(tmp_path, 1, "one")
    with pytest.raises(ExportError, match=r"has a version 1 already; --force replaces it, --version 2 adds"):
        _publish(tmp_path, 1, "other")
    assert _tree(tmp_path) == ONE
    with pytest.raises(ExportError, match="version 1 already"):
        refuse_overwrite(tmp_path, "scene_onnx", 1, force=False)
    refuse_overwrite(tmp_path, "scene_onnx", 2, force=False)


def test_force_replaces_one_version_and_keeps_the_rest(tmp_path):
    _publish(tmp_path, 1, "one")
    (tmp_path / "scene_onnx" / "labels.txt").write_text("by hand")
    _publish(tmp_path, 1, "again", force=True)
    assert _tree(tmp_path) == {
        "scene_onnx/1/model.onnx": "again",
        "scene_onnx/config.pbtxt": "version again",
        "scene_onnx/labels.txt": "by hand",
    }
    assert [entry.name for entry in tmp_path.iterdir()] == ["scene_onnx"]


def test_the_configuration_belongs_to_the_highest_version(tmp_path):
    _publish(tmp_path, 2, "two")
    _publish(tmp_path, 1, "one")
    assert (tmp_path / "scene_onnx" / CONFIG).read_text() == "version two"
    _publish(tmp_path, 10, "ten")
    assert (tmp_path / "scene_onnx" / CONFIG).read_text() == "version ten"
    assert latest_version(tmp_path, "scene_onnx") == 10
    versions = {entry.name for entry in (tmp_path / "scene_onnx").iterdir() if entry.is_dir()}
    assert versions == {"1", "2", "10"}


def test_a_reader_never_finds_a_model_missing_or_half(tmp_path):
    """Version and configuration change together, while a reader looks all the time."""
    _publish(tmp_path, 1, "0")
    stop, torn, seen = threading.Event(), [], 0

    def read() -> None:
        nonlocal seen
        while not stop.is_set():
            folder = os.open(tmp_path / "scene_onnx", os.O_RDONLY)  # one look at the model
            try:
                model, config = (
                    os.open(name, os.O_RDONLY, dir_fd=folder) for name in ("1/model.onnx", CONFIG)
                )
                contents = [os.read(handle, 100).decode() for handle in (model, config)]
                os.close(model)
                os.close(config)
                if contents[1] != f"version {contents[0]}":
                    torn.append(contents)
                seen += 1
            except FileNotFoundError:
                pass  # the folder that was looked into has been replaced and removed since
            finally:
                os.close(folder)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for content in range(1, 40):
            _publish(tmp_path, 1, str(content), force=True)
            assert reader.is_alive(), "the reader found no model at all"
    finally:
        stop.set()
        reader.join()
    assert torn == []
    assert seen > 0


KILLED = """
import os, sys
from pathlib import Path
import export.repository as repository
sys.path.insert(0, {tests!r})
from test_export_repository import _publish
repository.{function} = lambda *_: os._exit(9)
_publish(Path({target!r}), 1, "two", force=True)
"""


@pytest.mark.parametrize("function", ["_sync_tree", "exchange", "write_synced"])
def test_an_exporter_that_is_killed_changes_nothing_and_is_cleaned_up_after(tmp_path, function):
    _publish(tmp_path, 1, "one")
    code = KILLED.format(tests=str(ROOT / "tests"), function=function, target=str(tmp_path))
    if function == "write_synced":
        code = code.replace(
            "_publish(Path",
            "import test_export_repository as t; t.write_synced = repository.write_synced\n_publish(Path",
        )
    killed = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False)
    assert killed.returncode == 9
    left = [entry.name for entry in tmp_path.iterdir() if entry.name.startswith(STAGING_PREFIX)]
    assert len(left) == 1
    visible = {name: text for name, text in _tree(tmp_path).items() if not name.startswith(".")}
    assert visible == ONE
    _publish(tmp_path, 2, "two")
    assert [entry.name for entry in tmp_path.iterdir()] == ["scene_onnx"]


def test_another_exporter_at_work_is_left_alone(tmp_path):
    with staging(tmp_path) as ours:
        (ours / "file").write_text("ours")
        with staging(tmp_path) as theirs:
            assert ours != theirs
        assert (ours / "file").read_text() == "ours"
    assert list(tmp_path.iterdir()) == []


def test_an_error_inside_leaves_nothing(tmp_path):
    def fail() -> None:
        with staging(tmp_path) as folder:
            (folder / "half").write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_said_and_leaves_nothing(tmp_path, monkeypatch):
    def full(_handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    _publish(tmp_path, 1, "one")
    monkeypatch.setattr("export.repository.os.fsync", full)
    with pytest.raises(ExportError, match=r"cannot write .*No space left on device .*nothing was changed"):
        _publish(tmp_path, 2, "two")
    assert _tree(tmp_path) == ONE
    assert [entry.name for entry in tmp_path.iterdir()] == ["scene_onnx"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_the_disk_itself_says_full():
    with pytest.raises(OSError, match="No space left"), Path("/dev/full").open("wb", buffering=0) as file:
        file.write(b"x")


def test_a_repository_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("a file, not a folder")
    with pytest.raises(ExportError, match=r"cannot write into the model repository .*file"):
        _publish(tmp_path / "file", 1, "one")
    with pytest.raises(ExportError, match=r"cannot write into the model repository .*file/below"):
        _publish(tmp_path / "file" / "below", 1, "one")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_named(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(ExportError, match="Permission denied"):
        _publish(tmp_path, 1, "one")


@pytest.mark.parametrize("atomic", [True, False])
def test_exchange_swaps_two_folders(tmp_path, monkeypatch, atomic: bool):
    if not atomic:
        monkeypatch.setattr(exchange_module, "_exchange_atomically", lambda *_: False)
    elif not exchange_module._exchange_atomically(tmp_path, tmp_path):
        pytest.skip("this file system cannot exchange folders atomically")
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "content").write_text(name)
    exchange(tmp_path / "first", tmp_path / "second")
    assert (tmp_path / "first" / "content").read_text() == "second"
    assert (tmp_path / "second" / "content").read_text() == "first"
    assert len(list(tmp_path.iterdir())) == 2


def test_an_exchange_in_steps_that_fails_is_undone(tmp_path, monkeypatch):
    monkeypatch.setattr(exchange_module, "_exchange_atomically", lambda *_: False)
    (tmp_path / "second").mkdir()
    with pytest.raises(FileNotFoundError):
        exchange(tmp_path / "absent", tmp_path / "second")
    assert [entry.name for entry in tmp_path.iterdir()] == ["second"]
    monkeypatch.undo()
    with pytest.raises(FileNotFoundError):
        exchange(tmp_path / "absent", tmp_path / "second")
