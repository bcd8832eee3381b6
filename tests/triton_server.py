"""Runs the real Triton server on a model repository, for tests that speak gRPC to it and nothing less."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import DataType, ModelConfig, ModelInput, ModelOutput

from export.formats.registry import get_format
from export.repository.publish import CONFIG_FILE
from export.repository.triton_config import write_model
from neurocity.contract import MANIFEST_FILE, MANIFEST_KEY, SceneManifest, manifest_from_json, to_json
from neurocity.errors import MissingDependencyError
from neurocity.triton_names import output_name
from serving.tritonserver.installation import find_installation
from serving.tritonserver.server import Server, ServerOptions, running_server


@contextmanager
def triton_server(repository: Path) -> Iterator[Server]:
    """A server on free ports that has loaded `repository`; skips the test where no server is installed."""
    require_triton()
    write_configs(repository)
    with running_server(free_ports(repository), log=print) as server:
        yield server


def require_triton() -> None:
    """Skip the test, with the reason, where this machine has no Triton server."""
    try:
        find_installation()
    except MissingDependencyError as error:
        pytest.skip(str(error))


def free_ports(repository: Path) -> ServerOptions:
    """Options of a server on `repository` that takes whatever ports are free."""
    return ServerOptions(repository=repository, grpc_port=0, http_port=0, metrics_port=0)


def write_configs(repository: Path) -> None:
    """Put a `config.pbtxt` beside every version folder, as the exporter would."""
    for file in repository.glob(f"*/*/{MANIFEST_FILE}"):
        manifest = manifest_from_json(file.read_text())
        if manifest.takes_ray_radii:
            (file.parents[1] / CONFIG_FILE).write_text(_config_with_radii(manifest))
            continue
        artefact_format = get_format(manifest.format)
        signature = artefact_format.signature(file.parent / manifest.artefact.name)
        folder = file.parent.parent
        if not (folder / CONFIG_FILE).exists():
            write_model(folder, manifest, artefact_format.triton, signature)
        # The wheel's server, 2.51, is older than this platform and refuses its name.
        text = (folder / CONFIG_FILE).read_text()
        (folder / CONFIG_FILE).write_text(text.replace('platform: "torch_aoti"\n', ""))


def _config_with_radii(manifest: SceneManifest) -> str:
    """A smallest configuration of a graph with three inputs, of the format onnx or torchscript."""
    onnx = manifest.format == "onnx"
    config = ModelConfig(
        name=manifest.model_name,
        backend="onnxruntime" if onnx else "pytorch",
        platform="" if onnx else "pytorch_libtorch",
        default_model_filename=manifest.artefact.name,
        input=[
            ModelInput(name=spec.name, data_type=DataType.TYPE_FP32, dims=[-1, spec.shape[1]])
            for spec in manifest.inputs
        ],
        output=[
            ModelOutput(
                name=output_name("plain" if onnx else "numbered", index, spec.name),
                data_type=DataType.TYPE_FP32,
                dims=[-1, *spec.shape[1:]],
            )
            for index, spec in enumerate(manifest.outputs)
        ],
    )
    config.instance_group.add(count=1)
    config.dynamic_batching.SetInParent()
    config.parameters[MANIFEST_KEY].string_value = to_json(manifest)
    return "max_batch_size: 0\n" + text_format.MessageToString(config)
