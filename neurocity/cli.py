"""`neurocity {train,evaluate,render,demo-data}`: arguments in, exit code out.

0 done, 1 failure, 2 wrong usage, 5 a package or device that is missing, 130 interrupted.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

import tyro

from neurocity.data.city.config import CityConfig
from neurocity.errors import ConfigError, MissingDependencyError, NeuroCityError
from neurocity.families import FAMILIES

_FamilyName: TypeAlias = Literal[tuple(FAMILIES)]  # type: ignore[valid-type]


@dataclass(frozen=True, kw_only=True)
class Train:
    """Train a model family on a dataset; ends with checkpoints under OUT/checkpoints."""

    family: Annotated[_FamilyName, tyro.conf.Positional]
    """Model family."""
    data: Path
    """Folder of the dataset: Blender synthetic, transforms.json (nerfstudio, instant-ngp) or COLMAP."""
    out: Path
    """Folder for checkpoints, TensorBoard logs and validation pictures."""
    preset: Literal["paper", "cpu"] = "cpu"
    """Size of model and batches: `cpu` learns in minutes on two cores, `paper` wants a GPU."""
    max_minutes: float | None = None
    """End after so many minutes of training; validation is not counted."""
    max_steps: int | None = None
    """End after so many steps; the same seed then gives the same weights."""
    seed: int = 0
    """Seed of initial weights, rays, jitter and backgrounds."""
    downscale: int = 1
    """Divide image sizes by this whole number, with area filtering."""
    bounds: tuple[float, float, float, float, float, float] | None = None
    """Box of the content (x0 y0 z0 x1 y1 z1), world units, instead of the dataset's own or an estimate."""
    unbounded: bool | None = None
    """Whether the images show more than the bounds hold, instead of the rule in docs/conventions.md."""
    steps_per_epoch: int = 1000
    """Steps between validations."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to train; `auto` takes a GPU if there is one."""
    resume: Path | None = None
    """Checkpoint (`last.ckpt`) to go on from, exactly."""


@dataclass(frozen=True, kw_only=True)
class Evaluate:
    """Render the held-out views of a dataset and print PSNR, SSIM and seconds per frame as JSON."""

    checkpoint: Annotated[Path, tyro.conf.Positional]
    """A checkpoint (.ckpt) of `neurocity train`."""
    data: Path
    """Folder of the dataset."""
    downscale: int = 1
    """Divide image sizes by this whole number, with area filtering."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where to render."""


@dataclass(frozen=True, kw_only=True)
class Render:
    """Render one camera of a checkpoint to an image, and its depth if asked for."""

    checkpoint: Annotated[Path, tyro.conf.Positional]
    """A checkpoint (.ckpt) of `neurocity train`."""
    out: Path
    """Image to write (.png, .jpg or .webp)."""
    camera: Path | None = None
    """JSON of a camera: camera_to_world (4x4, OpenGL axes), width, height, fl_x, fl_y, cx, cy."""
    view: int | None = None
    """Number of a held-out view of the checkpoint, from 0."""
    depth: Path | None = None
    """Also write the distance along each ray, float32 in world units (.npy)."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where to render."""


@dataclass(frozen=True, kw_only=True)
class DemoData:
    """Write the photographs of a procedural city as a dataset (transforms.json, images, depth, points)."""

    out: Annotated[Path, tyro.conf.Positional]
    """Folder to write; must not exist or be empty, unless it is such a dataset and --overwrite is given."""
    city: Annotated[CityConfig, tyro.conf.OmitArgPrefixes] = field(default_factory=CityConfig)
    overwrite: bool = False
    """Replace a dataset that this command wrote."""


_COMMANDS = {
    Train: "neurocity.commands.train",
    Evaluate: "neurocity.commands.evaluate",
    Render: "neurocity.commands.render",
    DemoData: "neurocity.commands.demo_data",
}

_EXIT_CODES: tuple[tuple[type[NeuroCityError], int], ...] = (
    (ConfigError, 2),
    (MissingDependencyError, 5),
    (NeuroCityError, 1),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    try:
        parsed = tyro.cli(
            Train | Evaluate | Render | DemoData,
            args=arguments,
            prog="neurocity",
            description="Train radiance fields, judge and render them.",
            config=(tyro.conf.FlagCreatePairsOff,),
        )
        _command(_COMMANDS[type(parsed)]).run(parsed)
    except NeuroCityError as error:
        print(f"neurocity: {error}", file=sys.stderr)
        return next(code for kind, code in _EXIT_CODES if isinstance(error, kind))
    except KeyboardInterrupt:
        return 130
    return 0


def _command(module: str) -> Any:
    """The module of a command: torch is imported only by a command that needs it."""
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            f"this command needs the package {error.name!r}: pip install 'neurocity[cpu]' or 'neurocity[gpu]'"
        ) from error
