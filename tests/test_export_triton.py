"""`config.pbtxt` says what the artefact is, and says it in Triton's own language."""

import pytest
from fixtures_export import tiny_checkpoint
from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

from export.config import ExportConfig
from export.manifest import complete, embedded_manifest
from export.registry import format_names, get_format
from export.triton import CONFIG_FILE, check_config, model_config
from neurocity.contract import MANIFEST_KEY, manifest_from_json


@pytest.fixture(params=format_names())
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
    suffix = "__{}" if target.name == "torchscript" else ""
    wanted = [name + suffix.format(index) for index, name in enumerate(("rgb", "depth", "opacity"))]
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


def test_the_manifest_travels_whole(exported):
    _, folder, config = exported
    text = config.parameters[MANIFEST_KEY].string_value
    assert text == (folder / "1" / "manifest.json").read_text()
    assert manifest_from_json(text).parity["checks_passed"] > 50


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
    draft = embedded_manifest(tiny_checkpoint(), ExportConfig(name="tiny"), target, {})
    manifest = complete(draft, path.read_bytes(), {})
    signature = target.signature(path)
    text = model_config(manifest, target.triton, signature)
    assert all(check.passed for check in check_config(text, manifest, signature))
    checks = check_config(text.replace(*change), manifest, signature)
    assert failed in [check.name for check in checks if not check.passed]
