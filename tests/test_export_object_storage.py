"""Exports into object storage: a version is there entirely, or not at all; and it is looked at there."""

import json
import re
import shutil
import tempfile

import fsspec
import pytest
import s3fs
from fixtures_export import export_tiny

from benchmarks.s3_server import running_s3, running_seaweedfs
from export.cli import main
from export.repository.upload import upload
from neurocity.contract import MANIFEST_FILE
from neurocity.errors import ExportError, StorageError
from neurocity.model_repository import open_version
from neurocity.object_store import ObjectStore

FAST = ("--formats", "torchscript", "--rays-per-call", "512", "--profile-seconds", "0")
MODEL = "tiny_torchscript"


@pytest.fixture
def bucket(tmp_path):
    """A folder, and the same as object storage."""
    return tmp_path / "bucket", f"file://{tmp_path}/bucket"


def stored(folder):
    """A model folder with one version, as the exporter makes it."""
    version = folder / "models" / MODEL / "3"
    (version / "golden").mkdir(parents=True)
    for name in ("model.pt", MANIFEST_FILE, "golden/rays.npz", "../config.pbtxt"):
        (version / name).write_text(name)
    return version.parent


def order(store, monkeypatch):
    """The names of uploads, in their order."""
    names = []
    put = store.upload

    def upload(file, name):
        put(file, name)
        names.append(name)

    monkeypatch.setattr(store, "upload", upload)
    return names


def test_the_manifest_is_written_last(bucket, tmp_path, monkeypatch):
    store = ObjectStore(bucket[1])
    names = order(store, monkeypatch)
    upload(stored(tmp_path), 3, store)
    assert names[-1] == f"{MODEL}/3/{MANIFEST_FILE}"
    expected = ("3/model.pt", "3/golden/rays.npz", "config.pbtxt", f"3/{MANIFEST_FILE}")
    assert sorted(names) == sorted(f"{MODEL}/{name}" for name in expected)
    with pytest.raises(ExportError, match=r"version 3 already.* --version 4 adds one"):
        upload(tmp_path / "models" / MODEL, 3, store)


def test_the_configuration_of_a_higher_version_stays(bucket, tmp_path):
    store = ObjectStore(bucket[1])
    upload(stored(tmp_path), 3, store)
    older = stored(tmp_path / "older")
    (older / "3").rename(older / "2")
    (older / "config.pbtxt").write_text("older")
    upload(older, 2, store)
    assert store.read([f"{MODEL}/config.pbtxt"]) == {f"{MODEL}/config.pbtxt": b"../config.pbtxt"}


def test_a_file_that_arrives_cut_off_leaves_no_version(bucket, tmp_path, monkeypatch):
    store = ObjectStore(bucket[1])
    put = store.upload

    def cut(file, name):
        put(file, name)
        if name.endswith("model.pt"):
            (bucket[0] / name).write_bytes(b"m")

    model = stored(tmp_path)
    monkeypatch.setattr(store, "upload", cut)
    with pytest.raises(StorageError, match="1 bytes of 8 have arrived"):
        upload(model, 3, store)
    monkeypatch.undo()
    assert f"{MODEL}/3/{MANIFEST_FILE}" not in store.objects()
    upload(model, 3, store)  # what was left is written over
    assert f"{MODEL}/3/{MANIFEST_FILE}" in store.objects()


@pytest.mark.slow
@pytest.mark.usefixtures("tiny")
def test_a_scene_is_exported_and_kept(bucket, capsys):
    folder, url = bucket
    command = ["tiny.ckpt", *FAST, "--out", url]
    assert main(command) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"wrote {url}/{MODEL}/1"
    open_version(folder / MODEL / "1").require_whole()
    assert (folder / MODEL / "config.pbtxt").is_file()

    assert main(command) == 1
    assert "has a version 1 already" in capsys.readouterr().err
    assert main([*command, "--resume", "--json"]) == 0
    (stage,) = json.loads(capsys.readouterr().out)["stages"]
    assert (stage["status"], stage["folder"]) == ("kept", f"{url}/{MODEL}/1")
    assert main([*command, "--resume", "--samples", "3"]) == 1
    assert f"{url}/{MODEL}/1 is there already" in capsys.readouterr().err.replace("\n", "")


def test_what_cannot_be_is_said_before_any_work(capsys):
    assert main(["tiny.ckpt", *FAST, "--out", "memory://models", "--force"]) == 2
    assert "versions in object storage are not replaced" in capsys.readouterr().err
    assert main(["tiny.ckpt", *FAST, "--out", "nonsense://models"]) == 2


def test_building_engines_wants_a_folder(capsys):
    assert main(["build-engine", "s3://bucket/models"]) == 2
    assert "got the URL s3://..., expected a folder" in capsys.readouterr().err


@pytest.fixture
def models(made_once):
    """A model repository with the tiny scene in two formats; nobody may change it."""

    def export(repository):
        for name in ("onnx", "torchscript"):
            outcome = export_tiny(repository, name)
            assert not outcome.error, outcome.error

    return made_once("models_to_upload", export)


@pytest.fixture(params=["rclone", pytest.param("seaweedfs", marks=pytest.mark.slow)])
def s3(request, models, tmp_path, monkeypatch):
    """The URL of a repository on a real S3 server, with two models that were uploaded."""
    (tmp_path / "s3").mkdir()
    with {"rclone": running_s3, "seaweedfs": running_seaweedfs}[request.param](tmp_path / "s3") as server:
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        s3fs.S3FileSystem(skip_instance_cache=True).mkdir("bucket")
        store = ObjectStore("s3://bucket/models")
        for model in ("tiny_onnx", MODEL):
            upload(models / model, 1, store)
        yield store.url


def described(url, capsys):
    """The exit code of `inspect`, what it prints, and its messages."""
    code = main(["inspect", url, "--json"])
    out, err = capsys.readouterr()
    return code, json.loads(out) if out else None, err


def put(content, url, tmp_path):
    """Write an object."""
    (tmp_path / "object").write_bytes(content)
    folder, _, name = url.rpartition("/")
    ObjectStore(folder).upload(tmp_path / "object", name)


def test_what_is_in_storage_is_inspected(s3, models, capsys):
    code, here, _ = described(str(models / MODEL / "1"), capsys)
    code, found, _ = described(f"{s3}/{MODEL}/1/", capsys)
    assert (code, found) == (0, here | {"path": f"{s3}/{MODEL}/1"})
    code, model, _ = described(f"{s3}/{MODEL}", capsys)
    assert (code, model) == (0, {"kind": "model", "path": f"{s3}/{MODEL}", "versions": [found]})
    code, whole, _ = described(s3, capsys)
    assert (code, whole["kind"]) == (0, "repository")
    assert [version["path"] for version in whole["versions"]] == [f"{s3}/tiny_onnx/1", f"{s3}/{MODEL}/1"]


def test_what_is_in_storage_is_verified(s3, capsys):
    for place in (f"{s3}/tiny_onnx", f"{s3}/tiny_onnx/1"):
        assert main(["verify", place]) == 0
        assert "tiny_onnx version 1 on cpu is equal to its model" in capsys.readouterr().out
    assert main(["verify", s3]) == 1
    assert f"{s3}: is a repository" in capsys.readouterr().err.replace("\n", "")


def test_objects_that_are_not_what_was_uploaded_are_found(s3, models, tmp_path, capsys):
    version = f"{s3}/tiny_onnx/1"
    content = (models / "tiny_onnx" / "1" / "model.onnx").read_bytes()
    cut, changed = content[:-1], content[:-1] + bytes([content[-1] ^ 1])
    for damaged, said in ((cut, f"has {len(cut)} bytes"), (changed, "has SHA-256")):
        put(damaged, f"{version}/model.onnx", tmp_path)
        code, found, err = described(version, capsys)
        assert (code, found["problem"].startswith(f"model.onnx: {said}")) == (1, True)
        assert f"{version}: model.onnx: {said}" in err.replace("\n", " ")
        assert main(["verify", version]) == 1
        err = capsys.readouterr().err.replace("\n", " ")
        assert f"{version}: 1 of 6 files are broken" in err
        assert "/tmp" not in err
    put(b"{", f"{version}/{MANIFEST_FILE}", tmp_path)
    code, found, err = described(s3, capsys)
    assert (code, [bool(item.get("problem")) for item in found["versions"]]) == (1, [True, False])
    assert f"{version}/{MANIFEST_FILE}: not valid JSON" in err.replace("\n", " ")


def test_what_is_no_version_in_storage_is_said(s3, monkeypatch, capsys):
    assert main(["inspect", f"{s3}/nothing"]) == 1
    assert f"{s3}/nothing: has no version; expected REPOSITORY" in capsys.readouterr().err
    assert main(["verify", "s3://other/models"]) == 1
    assert "s3://other/models: cannot be listed: is not there" in capsys.readouterr().err
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a-wrong-secret")
    assert main(["verify", s3]) == 1
    err = capsys.readouterr().err
    assert "access is denied" in err.replace("\n", " ")
    assert "a-wrong-secret" not in err


def test_versions_that_do_not_fit_on_the_disk_are_not_fetched(models, tmp_path, monkeypatch, capsys):
    upload(models / "tiny_onnx", 1, ObjectStore(f"file://{tmp_path}/bucket"))
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    assert main(["verify", f"file://{tmp_path}/bucket/tiny_onnx"]) == 1
    assert re.search(r"takes \d+ bytes, \S+ has 1000; TMPDIR names", capsys.readouterr().err)


def memory(objects):
    """The URL of objects in memory, whose names may be any."""
    files = fsspec.filesystem("memory")
    for name, content in objects.items():
        files.pipe(f"/names/{name}", content)
    return "memory://names"


@pytest.fixture
def forgotten():
    """Nothing is in memory, before and after."""
    store = fsspec.filesystem("memory").store
    store.clear()
    yield
    store.clear()


@pytest.mark.usefixtures("forgotten")
@pytest.mark.parametrize("command", ["inspect", "verify"])
def test_names_of_files_elsewhere_write_nothing(command, models, tmp_path, capsys):
    version = models / "tiny_onnx" / "1"
    manifest = json.loads((version / MANIFEST_FILE).read_text())
    outside = str(tmp_path / "written")
    for name in (outside, "../../../../../../../.." + outside):
        manifest["files"] = [{"name": name, "sha256": "0" * 64, "bytes": 4}]
        below = "tiny_onnx/1/"
        url = memory(
            {
                below + MANIFEST_FILE: json.dumps(manifest).encode(),
                below + "model.onnx": (version / "model.onnx").read_bytes(),
                below + name: b"evil",
            }
        )
        assert main([command, f"{url}/tiny_onnx/1"]) == 1
        assert "is not a place in the version folder" in capsys.readouterr().err.replace("\n", " ")
        assert not (tmp_path / "written").exists()


@pytest.mark.usefixtures("forgotten")
@pytest.mark.parametrize("name", [f"../77/{MANIFEST_FILE}", f"/77/{MANIFEST_FILE}"])
def test_manifests_elsewhere_are_no_versions(name, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    url = memory({name: b"{}"})
    assert main(["inspect", url]) == 1
    assert f"{url}: has the object {name!r}, which is not a place below it" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
