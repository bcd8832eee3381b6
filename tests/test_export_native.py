"""What is particular to native artefacts: what is refused, and what other programs read."""

import json
import sys

import numpy as np
import pytest
import torch
import voxel_scene
from fixtures_export import TINY_BOUNDS, export_tiny, tiny_checkpoint
from tiny_families import tiny_model
from tiny_field import TinyField

from export.formats.native import FORMAT
from export.job.format_export import inspect_artefact
from neurocity.contract import MANIFEST_FILE, manifest_from_json
from neurocity.errors import MissingDependencyError, UnsupportedError
from neurocity.families import find_family


def artefact(repository, precision="fp32"):
    """The file of the scene of voxels."""
    model = "voxels_native" if precision == "fp32" else f"voxels_native_{precision}"
    return voxel_scene.write_repository(repository, precision=precision) / model / "1" / FORMAT.file_name


def test_precision_is_that_of_records_alone(tmp_path):
    sizes = {precision: FORMAT.tensor_bytes(artefact(tmp_path, precision)) for precision in ("fp32", "fp16")}
    assert sizes["fp16"]["records"] < 0.6 * sizes["fp32"]["records"]
    assert {**sizes["fp16"], "records": 0} == {**sizes["fp32"], "records": 0}


def test_a_family_without_a_kernel_is_refused_with_what_works(tmp_path):
    config = tiny_model("mip_nerf").for_scene(TINY_BOUNDS, False)
    model = find_family("mip_nerf").model_class()(config).eval()
    outcome = export_tiny(tmp_path, "native", checkpoint=tiny_checkpoint(family="mip_nerf", model=model))
    assert outcome.error_kind == "UnsupportedError"
    assert "no kernel renders a MipNeRF; other formats take it, such as onnx" in outcome.error
    assert list(tmp_path.iterdir()) == []


def test_kernels_that_were_not_built_are_missed_before_any_work(tmp_path, monkeypatch):
    def absent():
        raise MissingDependencyError("kernels: absent; build the kernels")

    monkeypatch.setattr("export.formats.native.library", absent)
    outcome = export_tiny(tmp_path, "native")
    assert (outcome.error_kind, outcome.error) == (
        "MissingDependencyError",
        "kernels: absent; build the kernels",
    )


def test_numbers_that_are_not_finite_are_found(tmp_path):
    class Broken(TinyField):
        def scene_data(self):
            data = super().scene_data()
            data.tensors["hidden.bias"][3] = np.nan
            return data

    path = tmp_path / FORMAT.file_name
    path.write_bytes(FORMAT.encode(Broken(TINY_BOUNDS), "{}"))
    (check,) = FORMAT.inspect(path)
    assert (check.passed, check.got) == (False, 1)


def test_it_is_not_opened_on_another_device(tmp_path):
    with pytest.raises(UnsupportedError, match="rendered on the CPU, got device 'cuda'"):
        FORMAT.open(tmp_path / "absent", "cuda")


def test_other_programs_read_it_as_the_format_says(tmp_path):
    """The code of the docstring, by the library safetensors."""
    path = artefact(tmp_path)
    lines = (sys.modules[type(FORMAT).__module__].__doc__ or "").splitlines()
    found = {"path": path}
    exec("\n".join(line[4:] for line in lines if line.startswith("    ")), found)
    manifest = manifest_from_json(found["manifest"])
    beside = json.loads((path.parent / MANIFEST_FILE).read_text())
    assert manifest.scene == beside["scene"] == voxel_scene.SCENE
    assert all(check.passed for check in inspect_artefact(FORMAT, path, manifest)[1])
    assert {name: array.nbytes for name, array in found["arrays"].items()} == FORMAT.tensor_bytes(path)
    model = voxel_scene.voxel_model()
    sh0 = found["arrays"]["records"][:, :3]
    np.testing.assert_array_equal(sh0, model.sh0.detach())
    assert torch.equal(torch.from_numpy(found["arrays"]["children"]), model.node_children)
