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
from neurocity.errors import MissingDependencyError, NeuroCityError
from neurocity.exit_codes import INTERRUPTED, exit_code
from neurocity.families import FAMILIES
from neurocity.presets import PresetName

_FamilyName: TypeAlias = Literal[tuple(FAMILIES)]  # type: ignore[valid-type]


def _unless_configured(values: str, otherwise: str) -> Any:
    """Help for an option whose value may come from --config."""
    return tyro.conf.arg(metavar=values, help_behavior_hint=f"({otherwise})")


_Required = "required without --config"


@dataclass(frozen=True, kw_only=True)
class Train:
    """Train a model family on a dataset; ends with checkpoints under OUT/checkpoints.

    OUT/config.yaml holds the resolved configuration; --config gives one back, and options that are named
    win over it. Ctrl-C saves, and says how to go on.
    """

    family: Annotated[
        _FamilyName | None,
        tyro.conf.Positional,
        _unless_configured(f"{{{','.join(FAMILIES)}}}", _Required),
    ] = None
    """Model family."""
    data: Annotated[Path | None, _unless_configured("FOLDER", _Required)] = None
    """Folder of the dataset: Blender synthetic, transforms.json (nerfstudio, instant-ngp) or COLMAP."""
    out: Annotated[Path, tyro.conf.arg(metavar="FOLDER")]
    """Folder for checkpoints, logs, validation pictures and config.yaml."""
    config: Annotated[Path | None, tyro.conf.arg(metavar="FILE", help_behavior_hint="")] = None
    """Configuration to start from: the config.yaml of a run, or parts of one."""
    preset: Annotated[
        PresetName | None, _unless_configured("{paper,cpu}", "default: cpu, or as --config")
    ] = None
    """Size of model and batches: `cpu` learns in minutes on two cores, `paper` wants a GPU."""
    set_: Annotated[
        tuple[str, ...], tyro.conf.arg(name="set", metavar="NAME=VALUE ...", help_behavior_hint="")
    ] = ()
    """Single values of the configuration, as model.NAME=VALUE or training.NAME=VALUE."""
    max_minutes: Annotated[float | None, _unless_configured("FLOAT", "default: no limit")] = None
    """End after so many minutes of training; validation is not counted."""
    max_steps: Annotated[int | None, _unless_configured("INT", "default: no limit")] = None
    """End after so many steps; the same seed then gives the same weights."""
    early_stopping_patience: Annotated[int | None, _unless_configured("INT", "default: never")] = None
    """End after so many validations without a better PSNR."""
    steps_per_epoch: Annotated[int | None, _unless_configured("INT", "default: the preset's")] = None
    """Steps between validations."""
    seed: Annotated[int | None, _unless_configured("INT", "default: 0")] = None
    """Seed of initial weights, rays, jitter and backgrounds."""
    downscale: Annotated[int | None, _unless_configured("INT", "default: 1")] = None
    """Divide image sizes by this whole number, with area filtering."""
    bounds: Annotated[
        tuple[float, float, float, float, float, float] | None,
        _unless_configured("X0 Y0 Z0 X1 Y1 Z1", "default: the dataset's own, or an estimate"),
    ] = None
    """Box of the content, world units."""
    unbounded: Annotated[
        bool | None, _unless_configured("{True,False}", "default: by the rule in docs/conventions.md")
    ] = None
    """Whether the images show more than the bounds hold."""
    device: Annotated[
        Literal["auto", "cpu", "cuda"] | None, _unless_configured("{auto,cpu,cuda}", "default: auto")
    ] = None
    """Where to train; `auto` takes a GPU if there is one."""
    devices: Annotated[int | None, _unless_configured("INT", "default: 1")] = None
    """GPUs, or processes on the CPU, of each machine."""
    num_nodes: Annotated[int | None, _unless_configured("INT", "default: 1")] = None
    """Machines."""
    strategy: Annotated[str | None, _unless_configured("NAME", "default: auto")] = None
    """How several devices train together, as Lightning names it: ddp, ..."""
    precision: Annotated[
        Literal["32-true", "16-mixed", "bf16-mixed"] | None,
        _unless_configured("{32-true,16-mixed,bf16-mixed}", "default: 32-true"),
    ] = None
    """Precision of training; the weights stay float32."""
    logger: Annotated[
        Literal["tensorboard", "wandb"] | None,
        _unless_configured("{tensorboard,wandb}", "default: tensorboard"),
    ] = None
    """Where figures and pictures go besides OUT."""
    resume: Annotated[Path | None, tyro.conf.arg(metavar="FILE", help_behavior_hint="")] = None
    """Checkpoint (last.ckpt) to go on from, exactly; a larger budget lengthens the run."""


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
        return exit_code(error)
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0


def _command(module: str) -> Any:
    """The module of a command: torch is imported only by a command that needs it."""
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            f"this command needs the package {error.name!r}: pip install 'neurocity[cpu]' or 'neurocity[gpu]'"
        ) from error
