"""Runs the real Triton server on a model repository, for tests that speak gRPC to it and nothing less."""

import re
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from waiting import PATIENCE

from deploy.ports import free_ports
from export.formats.registry import get_format
from export.repository.publish import CONFIG_FILE
from export.repository.triton_config import write_model
from neurocity.contract import MANIFEST_FILE, manifest_from_json
from neurocity.errors import EngineError, MissingDependencyError
from serving.tritonserver.installation import find_installation
from serving.tritonserver.server import Server, ServerOptions, running_server


@contextmanager
def triton_server(repository: Path) -> Iterator[Server]:
    """A server on free ports that has loaded `repository`; skips the test where no server is installed."""
    require_triton()
    write_configs(repository)
    with ExitStack() as running:
        yield _started(running, repository)


def _started(running: ExitStack, repository: Path) -> Server:
    """A server that has loaded the repository; tried again where the wheel's python backend aborts or hangs.

    On a very busy machine it now and then does, of a lock of its own:
    https://github.com/triton-inference-server/server/issues/8882
    """
    for _ in range(2):
        try:
            return running.enter_context(running_server(on_free_ports(repository), log=print))
        except EngineError as error:
            if not re.search(rf"exited with code -{signal.SIGABRT:d}:|is not ready after", str(error)):
                raise
    return running.enter_context(running_server(on_free_ports(repository), log=print))


def require_triton() -> None:
    """Skip the test, with the reason, where this machine has no Triton server."""
    try:
        find_installation()
    except MissingDependencyError as error:
        pytest.skip(str(error))


def on_free_ports(repository: Path) -> ServerOptions:
    """Options of a server on `repository` whose ports are free, and which may start slowly."""
    grpc_port, http_port, metrics_port = free_ports(3)
    return ServerOptions(
        repository=repository,
        grpc_port=grpc_port,
        http_port=http_port,
        metrics_port=metrics_port,
        ready_timeout_seconds=PATIENCE,
    )


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
