"""Models appear in a repository entirely or not at all, whatever happens on the way."""

import errno
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import export.repository.publish
from export.repository import exchange as exchange_module
from export.repository.exchange import exchange
from export.repository.publish import latest_version, publish, refuse_overwrite, staging, staging_place
from neurocity.errors import ExportError

CONFIG = "config.pbtxt"
ROOT = Path(__file__).parents[1]


def _publish(repository: Path, version: int, content: str, *, force: bool = False) -> None:
    with staging(repository) as folder:
        model = folder / "scene_onnx"
        (model / str(version)).mkdir(parents=True)
        (model / str(version) / "model.onnx").write_text(content)
        (model / CONFIG).write_text(f"version {content}")
        publish(model, repository, force=force)


def _tree(repository: Path) -> dict[str, str]:
    files = (path for path in repository.rglob("*") if path.is_file())
    return {str(path.relative_to(repository)): path.read_text() for path in files}


@pytest.fixture(params=["beside", "inside"])
def repository(request, tmp_path, monkeypatch) -> Path:
    """An empty repository that models are staged beside of, or, like on a mount point, inside of."""
    place = tmp_path / "models"
    place.mkdir()
    if request.param == "inside":
        monkeypatch.setattr("export.repository.publish.staging_place", lambda _: (place, ".staging-"))
    return place


def _entries(repository: Path) -> list[str]:
    """Names in the repository and, hidden ones too, beside it."""
    return sorted(entry.name for place in (repository, repository.parent) for entry in place.iterdir())


ONE = {"scene_onnx/1/model.onnx": "one", "scene_onnx/config.pbtxt": "version one"}


def test_a_first_version_makes_the_repository(tmp_path):
    repository = tmp_path / "not" / "yet"
    _publish(repository, 1, "one")
    assert _tree(repository) == ONE
    assert _entries(repository) == ["scene_onnx", "yet"]


def test_an_existing_version_is_refused_and_untouched(repository):
    _publish(repository, 1, "one")
    with pytest.raises(ExportError, match=r"has a version 1 already; --force replaces it, --version 2 adds"):
        _publish(repository, 1, "other")
    assert _tree(repository) == ONE
    with pytest.raises(ExportError, match="version 1 already"):
        refuse_overwrite(repository, "scene_onnx", 1, force=False)
    refuse_overwrite(repository, "scene_onnx", 2, force=False)


def test_force_replaces_one_version_and_keeps_the_rest(repository):
    _publish(repository, 1, "one")
    (repository / "scene_onnx" / "labels.txt").write_text("by hand")
    _publish(repository, 1, "again", force=True)
    assert _tree(repository) == {
        "scene_onnx/1/model.onnx": "again",
        "scene_onnx/config.pbtxt": "version again",
        "scene_onnx/labels.txt": "by hand",
    }
    assert _entries(repository) == ["models", "scene_onnx"]


def test_the_configuration_belongs_to_the_highest_version(repository):
    _publish(repository, 2, "two")
    _publish(repository, 1, "one")
    assert (repository / "scene_onnx" / CONFIG).read_text() == "version two"
    _publish(repository, 10, "ten")
    assert (repository / "scene_onnx" / CONFIG).read_text() == "version ten"
    assert latest_version(repository, "scene_onnx") == 10
    versions = {entry.name for entry in (repository / "scene_onnx").iterdir() if entry.is_dir()}
    assert versions == {"1", "2", "10"}


def test_versions_keep_the_rays_of_their_own_warm_ups(repository):
    for version in (2, 1):
        with staging(repository) as folder:
            model = folder / "scene_onnx"
            for part in (str(version), "warmup"):
                (model / part).mkdir(parents=True)
            (model / "warmup" / f"{version}-rays").write_text("rays")
            (model / CONFIG).write_text(f"version {version}")
            publish(model, repository, force=False)
    assert _tree(repository) == {
        "scene_onnx/config.pbtxt": "version 2",
        "scene_onnx/warmup/1-rays": "rays",
        "scene_onnx/warmup/2-rays": "rays",
    }


def test_a_reader_never_finds_a_model_missing_or_half(repository):
    """Version and configuration change together, while a reader looks all the time."""
    _publish(repository, 1, "0")
    stop, torn, seen = threading.Event(), [], 0

    def read() -> None:
        nonlocal seen
        while not stop.is_set():
            folder = os.open(repository / "scene_onnx", os.O_RDONLY)  # one look at the model
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
            _publish(repository, 1, str(content), force=True)
            assert reader.is_alive(), "the reader found no model at all"
    finally:
        stop.set()
        reader.join()
    assert torn == []
    assert seen > 0


KILLED = """
import os, sys
from pathlib import Path
import export.repository.publish as repository
sys.path.insert(0, {tests!r})
from test_export_repository import _publish
repository.staging_place = lambda _: (Path({place!r}), {prefix!r})
repository.{step} = lambda *_: os._exit(9)
_publish(Path({repository!r}), 1, "two", force=True)
"""


@pytest.mark.parametrize("step", ["Path.write_text", "os.fsync", "exchange"])
def test_an_exporter_that_is_killed_changes_nothing_and_is_cleaned_up_after(repository, step: str):
    """Killed while it writes, when all is written, and at the last moment before the exchange."""
    _publish(repository, 1, "one")
    place, prefix = export.repository.publish.staging_place(repository)
    names = {
        "tests": str(ROOT / "tests"),
        "place": str(place),
        "prefix": prefix,
        "repository": str(repository),
    }
    killed = subprocess.run([sys.executable, "-c", KILLED.format(step=step, **names)], cwd=ROOT, check=False)
    assert killed.returncode == 9
    assert len([name for name in _entries(repository) if name.startswith(prefix)]) == 1
    assert {name: text for name, text in _tree(repository).items() if not name.startswith(".")} == ONE
    _publish(repository, 2, "two")
    assert _entries(repository) == ["models", "scene_onnx"]


def test_another_exporter_at_work_is_left_alone(repository):
    with staging(repository) as ours:
        (ours / "file").write_text("ours")
        with staging(repository) as theirs:
            assert ours != theirs
        assert (ours / "file").read_text() == "ours"
    assert _entries(repository) == ["models"]


def test_an_error_inside_leaves_nothing(repository):
    def fail() -> None:
        with staging(repository) as folder:
            (folder / "half").write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert _entries(repository) == ["models"]


def test_a_full_disk_is_said_and_leaves_nothing(repository, monkeypatch):
    def full(_handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    _publish(repository, 1, "one")
    monkeypatch.setattr("export.repository.publish.os.fsync", full)
    with pytest.raises(ExportError, match=r"cannot write .*No space left on device .*nothing was changed"):
        _publish(repository, 2, "two")
    assert _tree(repository) == ONE
    assert _entries(repository) == ["models", "scene_onnx"]


def test_a_disk_that_is_really_full_and_a_mount_point(tmp_path):
    repository = tmp_path / "models"
    repository.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(repository)]
    if shutil.which("mount") is None or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("file systems cannot be mounted here")
    try:
        assert staging_place(repository) == (repository, ".staging-")
        _publish(repository, 1, "one")
        with pytest.raises(ExportError, match="No space left on device"):
            _publish(repository, 2, "x" * 2**20)
        assert _tree(repository) == ONE
        assert _entries(repository) == ["models", "scene_onnx"]
    finally:
        subprocess.run(["umount", str(repository)], check=True)


def test_models_are_staged_beside_the_repository(tmp_path):
    """Triton takes every folder in a repository for a model, and does not start when one is broken."""
    repository = tmp_path / "models"
    with staging(repository) as folder:
        assert folder.parent == tmp_path
        assert folder.name.startswith(".models.staging-")
        assert list(repository.iterdir()) == []
    assert _entries(repository) == ["models"]


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
        _publish(tmp_path / "models", 1, "one")


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
