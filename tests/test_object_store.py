"""Folders in object storage: what is there, and errors that say what is wrong and no secret."""

import sys
from pathlib import Path

import pytest
from fsspec.registry import _registry

from neurocity.errors import ConfigError, MissingDependencyError, StorageError
from neurocity.object_store import ObjectStore, is_url, require_folder, shown


def test_objects_come_and_go(tmp_path):
    store = ObjectStore(f"file://{tmp_path}/store")
    assert store.objects() == {}
    (tmp_path / "file").write_bytes(b"light")
    store.upload(tmp_path / "file", "model/1/file")
    store.upload(tmp_path / "file", "models/2/file")
    first = store.objects()
    assert {name: item.bytes for name, item in first.items()} == {"model/1/file": 5, "models/2/file": 5}
    assert set(store.objects("model")) == {"model/1/file"}
    assert store.read(["model/1/file", "model/1/none"]) == {"model/1/file": b"light"}
    (tmp_path / "file").write_bytes(b"night")
    store.upload(tmp_path / "file", "model/1/file")
    assert store.objects()["model/1/file"].stamp != first["model/1/file"].stamp
    store.download("model/1/file", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == b"night"
    with pytest.raises(StorageError, match="model/1/none cannot be read: is not there"):
        store.download("model/1/none", tmp_path / "none")


def test_what_is_no_storage_is_said():
    with pytest.raises(ConfigError, match="nonsense://bucket: is no URL of object storage"):
        ObjectStore("nonsense://bucket")
    with pytest.raises(ConfigError, match="s3://: names no bucket"):
        ObjectStore("s3://")


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.delitem(_registry, "s3", raising=False)
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(MissingDependencyError, match=r"install 'neurocity\[s3\]'"):
        ObjectStore("s3://bucket")


def test_messages_have_no_secrets():
    assert shown("ftp://user:secret@host/models/?token=secret#secret") == "ftp://host/models"
    assert shown("models?/") == "models?/"
    assert not is_url("models")


@pytest.mark.parametrize("url", ["s3://bucket/models", "memory://models"])
def test_commands_that_want_a_folder_refuse_a_url(url):
    with pytest.raises(ConfigError, match=r"inspect: got the URL \w+://\.\.\., expected a folder"):
        require_folder(Path(url), "inspect")


def test_a_folder_is_a_folder(tmp_path):
    require_folder(tmp_path, "inspect")
    require_folder(Path("nowhere"), "inspect")
