"""Runs the real Triton server on a model repository, for tests that speak gRPC to it and nothing less."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from export.formats.registry import get_format
from export.repository.publish import CONFIG_FILE
from export.repository.triton_config import write_model
from neurocity.contract import MANIFEST_FILE, manifest_from_json
from neurocity.errors import MissingDependencyError
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
        artefact_format = get_format(manifest.format)
        signature = artefact_format.signature(file.parent / manifest.artefact.name)
        folder = file.parent.parent
        if not (folder / CONFIG_FILE).exists():
            write_model(folder, manifest, artefact_format.triton, signature)
        # The wheel's server, 2.51, is older than this platform and refuses its name.
        text = (folder / CONFIG_FILE).read_text()
        (folder / CONFIG_FILE).write_text(text.replace('platform: "torch_aoti"\n', ""))
