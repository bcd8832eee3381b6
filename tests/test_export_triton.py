"""`config.pbtxt` says what the artefact is, and says it in Triton's own language."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fixtures_export import FORMATS, TINY_BOUNDS, tiny_checkpoint, tiny_info
from google.protobuf import text_format
from tiny_field import TinyField
from tritonclient.grpc.model_config_pb2 import ModelConfig

from export.format import Signature
from export.formats.registry import get_format
from export.job.job import Job
from export.job.manifest import embedded_manifest
from export.parity.rays import counted_rays, view_rays
from export.repository.publish import CONFIG_FILE
from export.repository.triton_config import check_config, model_config, write_model
from neurocity.cameras import Rays
from neurocity.contract import MANIFEST_KEY, manifest_from_json
from neurocity.triton_names import output_name
from serving.engines.triton_models import read_model


@pytest.fixture(params=FORMATS)
def exported(request, tiny_repository):
    """Format, folder of the model, its parsed configuration."""
    target = get_format(request.param)
    folder = tiny_repository / f"tiny_{target.name}"
    return target, folder, text_format.Parse((folder / CONFIG_FILE).read_text(), ModelConfig())


def test_names_types_and_dimensions_are_the_artefacts_own(exported):
    target, folder, config = exported
    signature = target.signature(folder / "1" / target.file_name)
    for tensors, specs in ((config.input, signature.inputs), (config.output, signature.outputs)):
        for tensor, spec in zip(tensors, specs, strict=True):
            assert tensor.name == spec.name
            assert list(tensor.dims) == [-1 if axis == "rays" else axis for axis in spec.shape]
            assert tensor.data_type == 11  # TYPE_FP32
    names = ("rgb", "depth", "opacity")
    wanted = [output_name(target.triton.naming, index, name) for index, name in enumerate(names)]
    assert [tensor.name for tensor in config.output] == wanted
    assert [list(tensor.dims) for tensor in config.output] == [[-1, 3], [-1], [-1]]


def test_what_triton_needs_is_written(exported):
    target, folder, config = exported
    assert config.name == folder.name
    assert config.default_model_filename == (target.triton.file_name or target.file_name)
    assert (config.backend, config.platform) == (target.triton.backend, target.triton.platform)
    assert "max_batch_size: 0\n" in (folder / CONFIG_FILE).read_text()
    assert config.HasField("dynamic_batching")
    assert not config.dynamic_batching.HasField("default_queue_policy"), "costs 500 ms a waiting request"
    assert config.version_policy.latest.num_versions == 1
    assert [group.count for group in config.instance_group] == [1]
    kind = "KIND_CPU" if target.triton.device_bound else "KIND_AUTO"
    assert [group.Kind.Name(group.kind) for group in config.instance_group] == [kind]


def test_the_warm_up_is_one_call_of_rays_of_a_view(exported):
    target, folder, config = exported
    manifest = manifest_from_json((folder / "1" / "manifest.json").read_text())
    (warmup,) = config.model_warmup
    assert warmup.batch_size == 1, "Triton asks for 1 of models that know no batches"
    assert set(warmup.inputs) == {tensor.name for tensor in config.input}
    files = []
    for tensor in config.input:
        value = warmup.inputs[tensor.name]
        assert list(value.dims) == [manifest.rays_per_call, 3]
        files.append(np.fromfile(folder / "warmup" / value.input_data_file, "<f4").reshape(-1, 3))
    assert len(files[0]) == manifest.rays_per_call
    np.testing.assert_allclose(np.linalg.norm(files[1], axis=1), 1.0, atol=1e-6)
    rendered = target.open(folder / "1" / target.file_name, "cpu")(Rays(*files))
    assert rendered.opacity.max() > 0.2, "rays that see something warm everything up"


def test_a_graph_of_cones_is_warmed_up_with_the_radii_of_the_view(tmp_path):
    model = TinyField(TINY_BOUNDS)
    model.needs_ray_radii = True
    target = get_format("onnx_tensorrt")
    job = Job(checkpoint=Path("tiny.ckpt"), name="tiny", format=target.name, rays_per_call=32)
    manifest = embedded_manifest(tiny_checkpoint(model=model), job, target, {})
    assert manifest.takes_ray_radii
    write_model(tmp_path, manifest, target.triton, Signature(manifest.inputs, manifest.outputs))
    config = text_format.Parse((tmp_path / CONFIG_FILE).read_text(), ModelConfig())
    assert [(tensor.name, list(tensor.dims)) for tensor in config.input][2:] == [("ray_radii", [-1, 1])]
    (accelerator,) = config.optimization.execution_accelerators.gpu_execution_accelerator
    assert accelerator.parameters["trt_profile_opt_shapes"].endswith(",ray_radii:32x1")
    (warmup,) = config.model_warmup
    assert list(warmup.inputs["ray_radii"].dims) == [32, 1]
    radii = np.fromfile(tmp_path / "warmup" / warmup.inputs["ray_radii"].input_data_file, "<f4")
    (rays,) = counted_rays(view_rays(manifest.info.views[0], radii=True), (32,)).values()
    np.testing.assert_array_equal(radii, rays.radii[:, 0])


def test_copies_of_a_model_are_written(tiny_repository):
    target = get_format("onnx")
    path = tiny_repository / "tiny_onnx" / "1" / target.file_name
    manifest = manifest_from_json((path.parent / "manifest.json").read_text())
    manifest = replace(manifest, options={"instances": 3})
    text = model_config(manifest, target.triton, target.signature(path))
    assert [group.count for group in text_format.Parse(text, ModelConfig()).instance_group] == [3]


def test_the_manifest_travels_whole(exported):
    _, folder, config = exported
    text = config.parameters[MANIFEST_KEY].string_value
    assert text == (folder / "1" / "manifest.json").read_text()
    assert manifest_from_json(text).parity["checks_passed"] > 50


def test_who_sees_a_triton_server_alone_knows_the_origin():
    target, origin = get_format("onnx"), (500_000.0, 5_400_000.0, 0.5)
    job = Job(checkpoint=Path("tiny.ckpt"), name="tiny", format="onnx")
    manifest = embedded_manifest(tiny_checkpoint(info=tiny_info(origin=origin)), job, target, {})
    text = model_config(manifest, target.triton, Signature(manifest.inputs, manifest.outputs))
    model = read_model(text_format.Parse(text, ModelConfig()), {("tiny_onnx", "1")})
    assert model.manifest.info.origin == origin


@pytest.mark.parametrize(
    ("change", "failed"),
    [
        (('"opacity"', '"alpha"'), "outputs"),
        (("dims: 3", "dims: 4"), "inputs"),
        (("TYPE_FP32", "TYPE_FP16"), "inputs"),
        (("max_batch_size: 0", "max_batch_size: 4"), "max_batch_size"),
        (('name: "tiny_onnx"', 'name: "tiny"'), "name"),
        (("checkpoint_sha256", "checkpoint_sha255"), "manifest"),
    ],
)
def test_a_configuration_that_differs_from_the_artefact_is_found(tiny_repository, change, failed):
    target = get_format("onnx")
    path = tiny_repository / "tiny_onnx" / "1" / target.file_name
    job = Job(checkpoint=Path("tiny.ckpt"), name="tiny", format="onnx")
    manifest = embedded_manifest(tiny_checkpoint(), job, target, {})
    signature = target.signature(path)
    text = model_config(manifest, target.triton, signature)
    assert all(check.passed for check in check_config(text, manifest, signature))
    checks = check_config(text.replace(*change), manifest, signature)
    assert failed in [check.name for check in checks if not check.passed]
