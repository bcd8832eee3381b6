"""Model repositories as they are read by whoever needs them."""

import hashlib
import json
from dataclasses import replace

import pytest

from neurocity.contract import ArtefactFile, Golden, GoldenView, SceneInfo, SceneManifest, to_json
from neurocity.errors import ManifestError
from neurocity.model_repository import (
    models,
    newest_version_folder,
    open_version,
    version_folders,
)

DATA = b"weights"
INFO = SceneInfo(
    bounds=(-1.0, -1.0, -1.0, 1.0, 1.0, 1.0),
    up=(0.0, 0.0, 1.0),
    background=None,
    views=(),
    dataset_fingerprint="f" * 64,
)


def write(repository, scene="lego", number=1, data=DATA, **changes):
    artefact = ArtefactFile(name="model.onnx", sha256=hashlib.sha256(data).hexdigest(), bytes=len(data))
    values = {"scene": scene, "version": number, "family": "svraster", "format": "onnx", "precision": "fp32"}
    values |= {"checkpoint_sha256": "c" * 64, "artefact": artefact, "info": INFO}
    manifest = SceneManifest(**(values | changes))
    folder = repository / manifest.model_name / str(number)
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(data)
    (folder / "manifest.json").write_text(to_json(manifest))
    return folder


def test_versions_are_ordered_by_number(tmp_path):
    written = [write(tmp_path, number=number) for number in (10, 9, 2)]
    (tmp_path / "lego_onnx" / "warmup").mkdir()
    assert version_folders(tmp_path / "lego_onnx") == written[::-1]
    assert newest_version_folder(tmp_path / "lego_onnx") == written[0]
    assert newest_version_folder(written[2]) == written[2]


def test_a_file_is_what_the_manifest_says(tmp_path):
    version = open_version(write(tmp_path))
    assert version.verify(version.manifest.artefact) == version.artefact
    assert version.artefact.read_bytes() == DATA


def test_a_repository_may_be_made_of_links(tmp_path):
    stored = write(tmp_path / "store")
    artefact = stored / "model.onnx"
    artefact.rename(tmp_path / "blob")
    artefact.symlink_to(tmp_path / "blob")
    stored.rename(stored.with_name("exported today"))
    link = tmp_path / "repository" / "lego_onnx" / "1"
    link.parent.mkdir(parents=True)
    link.symlink_to(tmp_path / "store" / "lego_onnx" / "exported today")
    version = open_version(newest_version_folder(tmp_path / "repository" / "lego_onnx"))
    assert version.path == link
    assert version.verify(version.manifest.artefact).read_bytes() == DATA
    (tmp_path / "latest").symlink_to(write(tmp_path / "other"))
    assert open_version(tmp_path / "latest").manifest.model_name == "lego_onnx"


@pytest.mark.parametrize("name", ["../model.onnx", "golden/../../model.onnx", "/etc/hostname"])
def test_a_manifest_names_no_file_outside_of_its_folder(tmp_path, name):
    version = open_version(write(tmp_path))
    assert "is not a place in the version folder" in version.problem(
        ArtefactFile(name=name, sha256="e" * 64, bytes=7)
    )


@pytest.mark.parametrize(
    ("data", "message"),
    [(b"weight", "has 6 bytes, its manifest says 7"), (b"wEights", "has SHA-256"), (None, "cannot be read")],
)
def test_a_damaged_file_is_said(tmp_path, data, message):
    version = open_version(write(tmp_path))
    version.artefact.unlink()
    if data is not None:
        version.artefact.write_bytes(data)
    with pytest.raises(ManifestError, match=message):
        version.verify(version.manifest.artefact)


def test_an_engine_is_a_file_of_the_version(tmp_path):
    engine = {"file": "model.plan", "sha256": "e" * 64, "bytes": 3, "library": "tensorrt"}
    version = open_version(write(tmp_path, engine=engine))
    assert version.engine == ArtefactFile(name="model.plan", sha256="e" * 64, bytes=3)
    assert open_version(write(tmp_path, number=2)).engine is None


def test_every_file_is_looked_at_and_what_is_broken_is_listed(tmp_path):
    def file(name: str) -> ArtefactFile:
        return ArtefactFile(name=name, sha256=hashlib.sha256(name.encode()).hexdigest(), bytes=len(name))

    view = GoldenView(view=0, width=4, height=3, image=file("golden/view.png"))
    golden = Golden(rays=file("golden/rays.npz"), views=(view, replace(view, arrays=file("golden/view.npz"))))
    version = open_version(write(tmp_path, golden=golden))
    (version.path / "golden").mkdir()
    for named in version.files[1:]:
        (version.path / named.name).write_text(named.name)
    assert [named.name for named in version.files] == [
        "model.onnx",
        "golden/rays.npz",
        "golden/view.png",
        "golden/view.png",
        "golden/view.npz",
    ]
    version.require_whole()
    (version.path / "golden/rays.npz").write_text("golden/rays.npy")
    (version.path / "golden/view.npz").unlink()
    with pytest.raises(ManifestError, match="2 of 5 files are broken") as raised:
        version.require_whole()
    assert "golden/rays.npz: has SHA-256 " in str(raised.value)
    assert "golden/view.npz: cannot be read (No such file or directory)" in str(raised.value)


@pytest.mark.parametrize("name", ["../../secret", "/etc/hostname"])
def test_a_golden_file_elsewhere_is_not_read(tmp_path, name):
    rays = ArtefactFile(name=name, sha256="e" * 64, bytes=1)
    version = open_version(write(tmp_path, golden=Golden(rays=rays, views=())))
    assert version.problem(rays).startswith(f"{name}: is not a place in the version folder")


def test_a_moved_version_is_refused(tmp_path):
    folder = write(tmp_path)
    moved = folder.rename(folder.with_name("3"))
    with pytest.raises(ManifestError, match=r"describes lego_onnx/1, which is not where it stands"):
        open_version(moved)


def test_a_file_outside_the_version_is_refused(tmp_path):
    folder = write(tmp_path)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["artefact"]["name"] = "../model.onnx"
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(
        ManifestError, match=r"names the file '../model.onnx', expected one of its own folder"
    ):
        open_version(folder)


def test_what_is_no_version(tmp_path):
    (tmp_path / "lego_onnx").mkdir()
    with pytest.raises(ManifestError, match=r"neither a manifest.json nor version folders"):
        newest_version_folder(tmp_path / "lego_onnx")
    with pytest.raises(ManifestError, match="is not a folder"):
        models(tmp_path / "absent")


@pytest.mark.parametrize(
    ("field", "value"), [("camera_axes", "opencv"), ("pixel_center", 0.0), ("depth_kind", "z")]
)
def test_a_convention_that_nobody_here_knows_is_refused(tmp_path, field, value):
    folder = write(tmp_path)
    manifest = json.loads((folder / "manifest.json").read_text()) | {field: value}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ManifestError, match=rf"manifest.json.{field}: got {value!r}, this release reads"):
        open_version(folder)
