"""`neurocity-export build-engine DIR`: a new engine from a shipped ONNX model, where it will run."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from export.format import EngineName
from export.job.console import print_error
from export.job.rebuild import rebuild_engine
from neurocity.errors import NeuroCityError
from neurocity.exit_codes import exit_code


@dataclass(frozen=True)
class Arguments:
    """The command line."""

    folder: Annotated[Path, tyro.conf.Positional]
    """A version folder of the format tensorrt, or a model folder, whose newest version is taken."""
    engine: EngineName | None = None
    """What builds the engine; without it, what built the present one. Triton loads engines of tensorrt."""
    min_rays: int | None = None
    """Rays of the smallest call; without it, as in the present engine."""
    opt_rays: int | None = None
    """Rays of the call that the engine is tuned for."""
    max_rays: int | None = None
    """Rays of the largest call; memory is set aside for it."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code; see `export.cli`."""
    parsed = tyro.cli(
        Arguments,
        args=arguments,
        prog="neurocity-export build-engine",
        description="Builds the engine of a shipped model anew from the model.onnx beside it, and puts it, "
        "its manifest and Triton's configuration in place in one step.",
    )
    try:
        manifest = rebuild_engine(
            parsed.folder,
            parsed.engine,
            least=parsed.min_rays,
            usual=parsed.opt_rays,
            most=parsed.max_rays,
        )
    except NeuroCityError as error:
        print_error(Console(stderr=True), str(error))
        return exit_code(error)
    engine, rays = manifest.engine, manifest.engine["rays"]
    print(f"{manifest.model_name}, version {manifest.version}")
    print(f"  built by: {engine['library']} {engine['library_version']}")
    print(f"  bytes: {engine['bytes']:,}")
    print(f"  SHA-256: {engine['sha256']}")
    print(f"  rays a call: {rays['min']:,} to {rays['max']:,}, best at {rays['opt']:,}")
    print(f"  runs on: {engine['runs_on']}")
    print(f"  opened here: {'yes' if engine['opened'] else 'no, there is no CUDA device'}")
    return 0
