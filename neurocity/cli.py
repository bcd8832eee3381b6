"""`neurocity {data,train,evaluate,render,demo-data}`: arguments in, exit code out.

0 done, 1 failure, 2 wrong usage, 5 a package or device that is missing, 130 interrupted.
"""

import difflib
import sys
from argparse import ArgumentParser
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import tyro
from tyro.constructors import PrimitiveConstructorSpec

from neurocity.data.city.config import CityConfig
from neurocity.data.reading import Missing
from neurocity.errors import MissingDependencyError, NeuroCityError
from neurocity.exit_codes import INTERRUPTED, exit_code
from neurocity.families import FAMILIES
from neurocity.presets import PresetName
from neurocity.training.options import DataOptions, RunOptions


def _hint(text: str) -> Any:
    """What help says of the default of an option that takes it from elsewhere."""
    return tyro.conf.arg(help_behavior_hint=f"({text})")


def _one_of(names: Iterable[str]) -> PrimitiveConstructorSpec[str]:
    """An option with a fixed set of values, whose error lists them and guesses which one was meant."""
    known = tuple(names)

    def choose(words: list[str]) -> str:
        if words[0] in known:
            return words[0]
        meant = "".join(f"; {name}?" for name in difflib.get_close_matches(words[0], known, n=1))
        raise ValueError(f"got {words[0]!r}, expected {', '.join(known[:-1])} or {known[-1]}{meant}")

    return PrimitiveConstructorSpec(
        nargs=1,
        metavar=f"{{{','.join(known)}}}",
        instance_from_str=choose,
        is_instance=lambda value: value is None or value in known,
        str_from_instance=lambda value: [str(value)],
    )


@dataclass(frozen=True, kw_only=True)
class Train:
    """Train a model family on a dataset; ends with checkpoints under OUT/checkpoints.

    OUT/config.yaml holds the resolved configuration. --config gives one back: its values are the defaults of
    all options. Ctrl-C saves, and says how to go on.
    """

    family: Annotated[str, tyro.conf.Positional, _one_of(FAMILIES)]
    """Model family."""
    data: Annotated[DataOptions, tyro.conf.OmitArgPrefixes]
    run: Annotated[RunOptions, tyro.conf.OmitArgPrefixes]
    config: Annotated[Path | None, tyro.conf.arg(metavar="FILE", help_behavior_hint="")] = None
    """Configuration to start from: the config.yaml of a run, or parts of one."""
    preset: Annotated[str | None, _hint("default: cpu, or as --config"), _one_of(get_args(PresetName))] = None
    """Size of model and batches: `cpu` learns in minutes on two cores, `paper` wants a GPU."""
    set_: Annotated[
        tuple[str, ...], tyro.conf.arg(name="set", metavar="NAME=VALUE ...", help_behavior_hint="")
    ] = ()
    """Single values of the configuration, as model.NAME=VALUE or training.NAME=VALUE."""
    exposure: bool = False
    """Learn each photograph's exposure and white balance, for captures in which they change."""
    steps_per_epoch: Annotated[int | None, _hint("default: the preset's")] = None
    """Steps between validations."""
    seed: Annotated[int | None, _hint("default: 0")] = None
    """Seed of initial weights, rays, jitter and backgrounds."""


@dataclass(frozen=True, kw_only=True)
class Evaluate:
    """Render the held-out views of a dataset and print PSNR, SSIM and seconds per frame as JSON."""

    checkpoint: Annotated[Path, tyro.conf.Positional]
    """A checkpoint (.ckpt) of `neurocity train`."""
    data: Path
    """Folder of the dataset."""
    downscale: int = 1
    """Divide image sizes by this whole number, with area filtering."""
    missing: Missing = "error"
    """`skip` leaves out frames whose images are missing, as the training did."""
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
    """JSON of a camera: camera_to_world (4x4, OpenGL axes, world coordinates), width, height, fl_x, fl_y, cx,
    cy."""
    view: int | None = None
    """Number of a held-out view of the checkpoint, from 0."""
    depth: Path | None = None
    """Also write the distance along each ray, float32 in world units (.npy)."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where to render."""


@dataclass(frozen=True, kw_only=True)
class Data:
    """Print what is read of a dataset: frames, cameras, splits, bounds, and what was ignored or guessed."""

    path: Annotated[Path, tyro.conf.Positional]
    """Folder of the dataset."""
    downscale: int = 1
    """Divide image sizes by this whole number, with area filtering."""
    missing: Missing = "error"
    """`skip` leaves out frames whose images are missing, and says which."""
    bounds: Annotated[
        tuple[float, float, float, float, float, float] | None,
        tyro.conf.arg(metavar="X0 Y0 Z0 X1 Y1 Z1", help_behavior_hint=""),
    ] = None
    """Box of the content in world coordinates, instead of the dataset's own or an estimate."""
    unbounded: Annotated[bool | None, tyro.conf.arg(help_behavior_hint="")] = None
    """Whether the images show more than the bounds hold, instead of the rule in docs/conventions.md."""
    picture: Annotated[Path | None, tyro.conf.arg(metavar="FILE", help_behavior_hint="")] = None
    """Also draw it: cameras from above and from the side, and photographs with their masks (.png, .jpg)."""
    json: bool = False
    """Print JSON."""


@dataclass(frozen=True, kw_only=True)
class DemoData:
    """Write the photographs of a procedural city as a dataset (transforms.json, images, depth, points)."""

    out: Annotated[Path, tyro.conf.Positional]
    """Folder to write; must not exist or be empty, unless it is such a dataset and --overwrite is given."""
    city: Annotated[CityConfig, tyro.conf.OmitArgPrefixes] = field(default_factory=CityConfig)
    overwrite: bool = False
    """Replace a dataset that this command wrote."""


_COMMANDS = {
    Data: "neurocity.commands.data",
    Train: "neurocity.commands.train",
    Evaluate: "neurocity.commands.evaluate",
    Render: "neurocity.commands.render",
    DemoData: "neurocity.commands.demo_data",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    try:
        words = list(sys.argv[1:] if arguments is None else arguments)
        train = tyro.conf.subcommand(default=_train_defaults(words))
        parsed: Any = tyro.cli(
            Data | Annotated[Train, train] | Evaluate | Render | DemoData,
            args=words,
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


def _train_defaults(arguments: Sequence[str]) -> Train:
    """What `train` takes where an option is not named: what the file of --config says, if one is given."""
    data, run = DataOptions(path=tyro.MISSING), RunOptions(out=tyro.MISSING)
    scan = ArgumentParser(add_help=False, allow_abbrev=False)
    scan.add_argument("--config", nargs="?", type=Path)
    file = scan.parse_known_args(arguments)[0].config if arguments[:1] == ["train"] else None
    if file is None:
        return Train(family=tyro.MISSING, data=data, run=run)
    run_config = _command("neurocity.training.run_config")
    given = run_config.read_run_config(file)
    return Train(
        family=given.family or tyro.MISSING,
        data=run_config.with_values(data, given.data, where="data"),
        run=run_config.with_values(run, given.run, where="run", known=run_config.RUN_FIELDS),
        config=file,
    )


def _command(module: str) -> Any:
    """The module of a command: torch is imported only by a command that needs it."""
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            f"this command needs the package {error.name!r}: pip install 'neurocity[cpu]' or 'neurocity[gpu]'"
        ) from error
