"""The repository scanner: newest version, verified artefacts, and errors that say what would work."""

import analytic_scene
import pytest

from neurocity.contract import MANIFEST_FILE
from neurocity.errors import EngineError, ManifestError
from serving.engines.in_process import find_versions


@pytest.fixture
def repository(tmp_path):
    return analytic_scene.write_repository(tmp_path, "onnx")


def test_newest_version_wins_by_number_not_by_spelling(repository):
    for version in (2, 10, 9):
        analytic_scene.write_repository(repository, "onnx", version=version)
    version = find_versions(repository, "onnx", "fp32")["sphere"]
    assert version.manifest.version == 10
    assert version.artefact == repository / "sphere_onnx" / "10" / "model.onnx"


def test_only_the_wanted_format_is_opened(repository):
    analytic_scene.write_repository(repository, "torchscript")
    assert find_versions(repository, "torchscript", "fp32")["sphere"].artefact.name == "model.pt"
    assert find_versions(repository, "onnx", "fp32")["sphere"].artefact.name == "model.onnx"


def test_only_the_wanted_precision_is_opened(repository):
    analytic_scene.write_repository(repository, "onnx", precision="fp16")
    for precision, folder in (("fp32", "sphere_onnx"), ("fp16", "sphere_onnx_fp16")):
        version = find_versions(repository, "onnx", precision)["sphere"]
        assert version.artefact.parts[-3] == folder


def test_files_and_hidden_folders_are_no_scenes(repository):
    (repository / "README.md").write_text("scenes")
    (repository / ".partial").mkdir()
    assert list(find_versions(repository, "onnx", "fp32")) == ["sphere"]


def test_scene_without_the_format_says_what_is_there_and_what_to_do(repository):
    analytic_scene.write_repository(repository, "torchscript", scene="other")
    with pytest.raises(
        EngineError, match=r"'other' has torchscript fp32 in .* --name other --formats onnx --precision fp32"
    ):
        find_versions(repository, "onnx", "fp32")


def test_missing_and_empty_repositories(tmp_path):
    with pytest.raises(ManifestError, match="nowhere is not a folder"):
        find_versions(tmp_path / "nowhere", "onnx", "fp32")
    with pytest.raises(EngineError, match="holds no scene; export one with"):
        find_versions(tmp_path, "onnx", "fp32")


def test_changed_artefact_is_refused(repository):
    path = repository / "sphere_onnx" / "1" / "model.onnx"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(ManifestError, match=r"model.onnx: has SHA-256 \w{64}, its manifest says"):
        find_versions(repository, "onnx", "fp32")


def test_truncated_artefact_is_refused(repository):
    path = repository / "sphere_onnx" / "1" / "model.onnx"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(ManifestError, match=r"has \d+ bytes, its manifest says \d+"):
        find_versions(repository, "onnx", "fp32")


def test_missing_artefact_is_refused(repository):
    (repository / "sphere_onnx" / "1" / "model.onnx").unlink()
    with pytest.raises(ManifestError, match="cannot be read"):
        find_versions(repository, "onnx", "fp32")


def test_artefact_outside_of_its_folder_is_refused(repository):
    version = repository / "sphere_onnx" / "1"
    analytic_scene.rename_artefact(version, "../1/model.onnx")
    with pytest.raises(ManifestError, match=r"'../1/model.onnx', expected one of its own folder"):
        find_versions(repository, "onnx", "fp32")


def test_missing_and_malformed_manifests_are_refused(repository):
    file = repository / "sphere_onnx" / "1" / MANIFEST_FILE
    file.write_text("{")
    with pytest.raises(ManifestError, match="not valid JSON"):
        find_versions(repository, "onnx", "fp32")
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(ManifestError, match="cannot be read"):
        find_versions(repository, "onnx", "fp32")
    file.unlink()
    with pytest.raises(ManifestError, match=r"manifest.json: cannot be read .* export the scene again"):
        find_versions(repository, "onnx", "fp32")


def test_folder_without_a_version_is_refused(repository):
    (repository / "foreign_model").mkdir()
    with pytest.raises(ManifestError, match=r"foreign_model: has neither a manifest\.json nor version"):
        find_versions(repository, "onnx", "fp32")


@pytest.mark.parametrize("renamed", ["sphere_onnx/2", "cube_onnx/1"])
def test_renamed_folders_are_refused(repository, renamed):
    target = repository / renamed
    target.parent.mkdir(exist_ok=True)
    (repository / "sphere_onnx" / "1").rename(target)
    with pytest.raises(ManifestError, match="describes sphere_onnx/1, which is not where it stands"):
        find_versions(repository, target.parent.name.partition("_")[2], "fp32")
