"""What a repository offers: versions of scenes, and reasons for what is none, which keeps no other away."""

import asyncio
import json
import os

import analytic_scene
import pytest

from neurocity.contract import MANIFEST_FILE
from neurocity.errors import ManifestError
from serving.engines.base import EngineOptions
from serving.scenes.repository import RepositoryScenes
from serving.scenes.scan import Scan, scan


@pytest.fixture
def repository(tmp_path):
    """A good scene, and the folder of one that tests break."""
    analytic_scene.write_repository(tmp_path, "onnx", scene="good")
    return analytic_scene.write_repository(tmp_path, "onnx")


@pytest.fixture
def version(repository):
    return repository / "sphere_onnx" / "1"


def look(repository, engine="onnxruntime", **options):
    """Scene -> its numbers of versions, and what is refused."""

    async def session():
        source = RepositoryScenes(engine, EngineOptions(repository=repository, threads=1, **options))
        try:
            found = await source.look()
        finally:
            await source.close()
        return {scene: sorted(offers) for scene, offers in found.offers.items()}, dict(found.refused)

    return asyncio.run(session())


def refusal(repository):
    """Why the scene that is not the good one is refused; the good one is there."""
    offers, refused = look(repository)
    assert offers == {"good": [1]}
    (reason,) = refused.items()
    return reason


def test_all_versions_are_offered(repository):
    for number in (2, 10, 9):
        analytic_scene.write_repository(repository, "onnx", version=number)
    assert look(repository)[0]["sphere"] == [1, 2, 9, 10]


def test_only_the_wanted_format_and_precision_are_offered(repository):
    analytic_scene.write_repository(repository, "torchscript", version=2)
    analytic_scene.write_repository(repository, "onnx", precision="fp16", version=3)
    assert look(repository)[0]["sphere"] == [1]
    assert look(repository, precision="fp16") == ({"sphere": [3]}, look(repository, precision="fp16")[1])
    offers, refused = look(repository, "torch")
    assert offers == {"sphere": [2]}
    assert "--name good --formats torchscript --precision fp32" in refused["good_onnx/1"]


def test_a_missing_repository_is_an_error_and_an_empty_one_is_not(tmp_path):
    with pytest.raises(ManifestError, match="nowhere is not a folder"):
        look(tmp_path / "nowhere")
    assert look(tmp_path) == ({}, {})


def test_a_truncated_artefact(repository, version):
    path = version / "model.onnx"
    path.write_bytes(path.read_bytes()[:-10])
    place, reason = refusal(repository)
    assert place == "sphere_onnx/1"
    assert f"model.onnx: has {path.stat().st_size} bytes, its manifest says" in reason


def test_a_missing_artefact(repository, version):
    (version / "model.onnx").unlink()
    assert "cannot be read (No such file" in refusal(repository)[1]


def test_an_artefact_outside_of_its_folder(repository, version):
    analytic_scene.rename_artefact(version, "../1/model.onnx")
    assert "'../1/model.onnx', expected one of its own folder" in refusal(repository)[1]


@pytest.mark.parametrize(
    ("manifest", "reason"),
    [
        (b"{", "not valid JSON"),
        (b"\xff\xfe", "cannot be read"),
        (b"[" * 100_000, "nested"),
        (None, "export the scene again"),
    ],
)
def test_missing_and_malformed_manifests(repository, version, manifest, reason):
    (version / MANIFEST_FILE).unlink()
    if manifest is not None:
        (version / MANIFEST_FILE).write_bytes(manifest)
    assert reason in refusal(repository)[1]


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("version", 10**400, "int too large"),
        ("profile", {"rays_per_second": 10**400}, "int too large"),
        ("engine", {"library": "x"}, "engine.file: got None, expected str"),
        ("engine", {"file": "x", "sha256": "x", "bytes": "x"}, "engine.bytes: got 'x', expected int"),
    ],
)
def test_values_that_no_manifest_has(repository, version, field, value, reason):
    file = version / MANIFEST_FILE
    file.write_text(json.dumps(json.loads(file.read_text()) | {field: value}))
    assert reason in refusal(repository)[1]


@pytest.mark.parametrize("renamed", ["sphere_onnx/2", "cube_onnx/1"])
def test_renamed_folders(repository, version, renamed):
    (repository / renamed).parent.mkdir(exist_ok=True)
    version.rename(repository / renamed)
    offers, refused = look(repository)
    assert offers == {"good": [1]}
    assert "describes sphere_onnx/1, which is not where it stands" in refused[renamed]


@pytest.mark.parametrize("kind", ["empty", "lost+found", "notes", "dangling", "hidden"])
def test_what_is_no_model(repository, kind):
    """Folders without versions are told; files, links to nothing and hidden folders are not looked at."""
    if kind in ("empty", "lost+found"):
        (repository / kind).mkdir()
    elif kind == "hidden":
        (repository / ".staging-7").mkdir()
    elif kind == "notes":
        (repository / "notes.txt").write_text("x")
    else:
        (repository / "one_onnx").symlink_to("/nonexistent")
    offers, refused = look(repository)
    assert offers == {"good": [1], "sphere": [1]}
    assert refused == (
        {kind: "has no version folders (1, 2, ...)"} if kind in ("empty", "lost+found") else {}
    )


def test_a_folder_that_must_not_be_looked_into_keeps_no_other_away(repository, monkeypatch):
    (repository / "closed").mkdir()
    stat = os.stat

    def refused(path, *args, **options):
        if "closed/" in str(path):
            raise PermissionError(13, "Permission denied")
        return stat(path, *args, **options)

    monkeypatch.setattr(os, "stat", refused)
    assert look(repository)[0] == {"good": [1], "sphere": [1]}


def test_a_broken_version_keeps_no_older_one_away(repository):
    (repository / "sphere_onnx" / "2").mkdir()
    offers, refused = look(repository)
    assert offers["sphere"] == [1]
    assert "manifest.json: cannot be read" in refused["sphere_onnx/2"]


def test_what_has_not_changed_is_not_read_again(repository, version):
    first = scan(repository, Scan())
    again = scan(repository, first)
    assert all(again.folders[path] is folder for path, folder in first.folders.items())
    status = (version / "model.onnx").stat()
    os.utime(version / "model.onnx", ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    changed = scan(repository, first)
    assert [path for path in first.folders if changed.folders[path] is not first.folders[path]] == [version]


def test_a_link_that_leads_elsewhere_is_a_change(repository, tmp_path_factory):
    """As Kubernetes swaps what it mounts: the path of each file is the same, and so may its time be."""
    store = tmp_path_factory.mktemp("store")
    link = repository / "sphere_onnx" / "1"
    for name in ("a", "b"):
        (store / name / "sphere_onnx").mkdir(parents=True)
    link.rename(store / "a" / "sphere_onnx" / "1")
    (store / "b" / "sphere_onnx" / "1").mkdir()
    for file in (store / "a" / "sphere_onnx" / "1").iterdir():
        os.link(file, store / "b" / "sphere_onnx" / "1" / file.name)
    link.symlink_to(store / "a" / "sphere_onnx" / "1")
    first = scan(repository, Scan())
    link.unlink()
    link.symlink_to(store / "b" / "sphere_onnx" / "1")
    second = scan(repository, first)
    assert first.folders[link].version is not None
    assert second.folders[link].stamp != first.folders[link].stamp
