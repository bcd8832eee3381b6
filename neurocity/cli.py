"""`neurocity {data,train,evaluate,render,demo-data,city}`: arguments in, exit code out.

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

from neurocity.city_training.options import PartOptions
from neurocity.data.city.config import CityConfig
from neurocity.data.reading import Missing
from neurocity.errors import ConfigError, MissingDependencyError, NeuroCityError
from neurocity.exit_codes import INTERRUPTED, exit_code
from neurocity.families import FAMILIES
from neurocity.pictures.options import ColormapName, OutputName
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
    """Render one camera to an image, and its depth if asked for, or a camera path to a film."""

    path: Annotated[Path, tyro.conf.Positional]
    """A checkpoint (.ckpt) of `neurocity train`, or a model of a repository in the format native or onnx
    (REPOSITORY/SCENE_FORMAT, or one of its versions)."""
    out: Path
    """Image to write (.png, .jpg, .webp, .npy or .exr), or film (.mp4, .webm, .zip of PNG pictures, or a
    folder of them, whose name has no suffix)."""
    camera: Path | None = None
    """JSON of a camera: camera_to_world (4x4, OpenGL axes, world coordinates), width, height, fl_x, fl_y, cx,
    cy."""
    view: int | None = None
    """Number of a held-out view of the scene, from 0."""
    camera_path: Path | None = None
    """JSON of a camera path in world coordinates: nerfstudio's camera_path.json, a transforms.json,
    instant-ngp's base_cam.json, or keyframes (docs/conventions.md)."""
    width: int | None = None
    """Pixels of a film, instead of what its path says; without --height in its proportion."""
    height: int | None = None
    """Pixels of a film, likewise."""
    fps: Annotated[float | None, _hint("default: the path's, or 30")] = None
    """Frames per second of a film."""
    seconds: Annotated[float | None, _hint("default: the path's")] = None
    """How long a film is; of frames that a path lists, how long they are shown."""
    ngp_scale: Annotated[float | None, _hint("default: 0.33")] = None
    """`scale` of the transforms.json that a base_cam.json was made with."""
    ngp_offset: Annotated[
        tuple[float, float, float] | None,
        tyro.conf.arg(metavar="X Y Z", help_behavior_hint="(default: 0.5 0.5 0.5)"),
    ] = None
    """`offset` of that transforms.json."""
    quality: Annotated[int | None, _hint("default: 90, of films 65")] = None
    """Of .jpg, .webp, .mp4 and .webm, from 1 to 100."""
    output: OutputName = "rgb"
    """What to see: colours, distance along the ray, opacity, or normals from depth."""
    colormap: Annotated[ColormapName | None, _hint("default: none, of films turbo")] = None
    """Colours of --output depth; without them a .png holds 16-bit counts."""
    near: Annotated[float | None, _hint("default: the picture's, of films 0")] = None
    """Depth at the bright, or red, end of the colormap."""
    far: Annotated[float | None, _hint("default: the picture's, of films that of the scene's box")] = None
    """Depth at its other end."""
    depth: Path | None = None
    """Also write an image's distance along each ray, float32 in world units (.npy)."""
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


@dataclass(frozen=True, kw_only=True)
class CityPlan:
    """Divide a capture into blocks to be trained apart: CITY/city.json, and a picture, CITY/plan.png."""

    data: Path
    """Folder of the dataset."""
    out: Annotated[Path, tyro.conf.arg(metavar="CITY")]
    """Folder of the city; its name is the city's."""
    block_size: Annotated[float, tyro.conf.arg(metavar="LENGTH")]
    """Edge of a cell of the ground, in world units (metres)."""
    margin: float = 0.1
    """By how much blocks are trained beyond their cells on each side, as a share of a cell."""
    min_views: int = 16
    """Photographs that a block needs."""
    few_views: Literal["merge", "refuse"] = "merge"
    """`merge` joins blocks with fewer with a neighbour, `refuse` names them and ends."""
    crs: str = ""
    """The system of world coordinates, in words (EPSG:25832), to be noted."""
    missing: Missing = "error"
    """`skip` leaves out frames whose images are missing."""
    bounds: Annotated[
        tuple[float, float, float, float, float, float] | None,
        tyro.conf.arg(metavar="X0 Y0 Z0 X1 Y1 Z1", help_behavior_hint=""),
    ] = None
    """Box to divide, in world coordinates, instead of the dataset's own or an estimate."""
    overwrite: bool = False
    """Replace a plan that stands there; models of its blocks are forgotten."""


@dataclass(frozen=True, kw_only=True)
class CityCut:
    """Cut a model into blocks that compose to its own picture: CITY/city.json, and the blocks below CITY."""

    model: Annotated[Path, tyro.conf.Positional]
    """A native model of SVRaster in a repository (REPOSITORY/SCENE_native, or one of its versions)."""
    out: Annotated[Path, tyro.conf.arg(metavar="CITY")]
    """Folder of the city, which must not have one; its name is the city's."""
    block_size: Annotated[float, tyro.conf.arg(metavar="LENGTH")]
    """Edge of a cell of the ground, in world units; of the halves of the model's box the nearest is taken."""


@dataclass(frozen=True, kw_only=True)
class CityTrain:
    """Train the parts of a planned city: the coarse model, and with it all blocks, below CITY/runs.

    A part that is trained is not trained again, one that broke off goes on. Exit code 1 names those that
    failed; the others are trained all the same.
    """

    city: Annotated[Path, tyro.conf.Positional]
    """Folder of the city, which `neurocity city plan` wrote."""
    options: Annotated[PartOptions, tyro.conf.OmitArgPrefixes]
    runner: Literal["local", "ray", "slurm"] = "local"
    """`local` starts processes here, `ray` tasks of a Ray cluster whose machines share the folders, `slurm`
    writes scripts for it and prints what hands them over."""
    jobs: int = 1
    """Blocks that `local` trains at once; they share the processors."""
    only: Annotated[tuple[str, ...], tyro.conf.arg(metavar="PART ...", help_behavior_hint="")] = ()
    """Train these blocks alone (x0-y1, or coarse for the coarse model, which is trained first anyway)."""
    index: Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint="")] = None
    """Train the part of this number alone: 0 is the coarse model, which the others wait for, 1 the first
    block. For arrays of jobs."""
    retries: int = 1
    """How often a part is begun again that failed or whose machine died."""
    overwrite: bool = False
    """Train anew what was trained by another plan or other options."""
    cpus: Annotated[int | None, _hint("default: all here, divided by --jobs; what SLURM gives")] = None
    """Processors of a block."""
    gpus: Annotated[float | None, _hint("default: 1 with --preset paper or --device cuda, else 0")] = None
    """GPUs of a block, for `ray` and `slurm`."""
    ray_address: str = ""
    """Where the Ray cluster is; without it the one that RAY_ADDRESS names, or one of this machine."""

    def __post_init__(self) -> None:
        for name, least in (("jobs", 1), ("retries", 0), ("cpus", 1), ("gpus", 0)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise ConfigError(f"{name}: got {value}, expected at least {least}")
        if self.runner == "slurm" and self.gpus_of_block % 1:
            raise ConfigError(
                f"gpus: got {self.gpus_of_block:g}, expected a whole number: SLURM divides none"
            )

    @property
    def gpus_of_block(self) -> float:
        """GPUs that a block takes, of a cluster that gives it no others."""
        if self.gpus is not None:
            return self.gpus
        return float(self.options.preset == "paper" or self.options.device == "cuda")


@dataclass(frozen=True, kw_only=True)
class City:
    """A city in blocks, whose pictures compose to one."""

    command: Annotated[
        Annotated[CityPlan, tyro.conf.subcommand("plan", prefix_name=False)]
        | Annotated[CityTrain, tyro.conf.subcommand("train", prefix_name=False)]
        | Annotated[CityCut, tyro.conf.subcommand("cut", prefix_name=False)],
        tyro.conf.OmitArgPrefixes,
    ]


_COMMANDS = {
    Data: "neurocity.commands.data",
    Train: "neurocity.commands.train",
    Evaluate: "neurocity.commands.evaluate",
    Render: "neurocity.commands.render",
    DemoData: "neurocity.commands.demo_data",
    CityPlan: "neurocity.commands.city_plan",
    CityTrain: "neurocity.commands.city_train",
    CityCut: "neurocity.commands.city_cut",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    try:
        words = list(sys.argv[1:] if arguments is None else arguments)
        train = tyro.conf.subcommand(default=_train_defaults(words))
        parsed: Any = tyro.cli(
            Data | Annotated[Train, train] | Evaluate | Render | DemoData | City,
            args=words,
            prog="neurocity",
            description="Train radiance fields, judge and render them.",
            config=(tyro.conf.FlagCreatePairsOff,),
        )
        asked = parsed.command if isinstance(parsed, City) else parsed
        _command(_COMMANDS[type(asked)]).run(asked)
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
