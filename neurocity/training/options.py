"""What a training run is asked for beside model and training: the data, and how long and on what it goes.

Imports no torch: the command line shows these fields as its options.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Suppress, arg

from neurocity.data.reading import Missing

Precision = Literal["32-true", "16-mixed", "bf16-mixed"]
LoggerName = Literal["tensorboard", "wandb"]


@dataclass(frozen=True, kw_only=True)
class DataOptions:
    """The dataset, and how it is read."""

    path: Annotated[
        Path, arg(name="data", metavar="FOLDER", help_behavior_hint="(required without --config)")
    ]
    """Folder of the dataset: transforms.json, COLMAP, LLFF, Metashape, OpenSfM, ... (docs/conventions.md)."""
    downscale: int = 1
    """Divide image sizes by this whole number, with area filtering."""
    missing: Missing = "error"
    """`skip` leaves out frames whose images are missing, and says which."""
    bounds: Annotated[
        tuple[float, float, float, float, float, float] | None, arg(metavar="X0 Y0 Z0 X1 Y1 Z1")
    ] = None
    """Box of the content in world coordinates; None is the dataset's own, or an estimate."""
    unbounded: bool | None = None
    """Whether the images show more than the bounds hold; None goes by the rule in docs/conventions.md."""


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Where, how long and on what a run goes."""

    out: Annotated[Path, arg(metavar="FOLDER")]
    """Folder for checkpoints, logs, validation pictures and config.yaml."""
    max_steps: int | None = None
    """End after so many steps; the same seed then gives the same weights."""
    max_minutes: float | None = None
    """End after so many minutes of training; validation is not counted."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to train; `auto` takes a GPU if there is one."""
    devices: int = 1
    """GPUs, or processes on the CPU, of each machine."""
    num_nodes: int = 1
    """Machines."""
    strategy: str = "auto"
    """How several devices train together, as Lightning names it: ddp, ..."""
    precision: Precision = "32-true"
    """Precision of training; the weights stay float32."""
    logger: LoggerName = "tensorboard"
    """Where figures and pictures go besides OUT."""
    early_stopping_patience: int | None = None
    """End after so many validations without a better `val/psnr`; None never does."""
    resume: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="")] = None
    """Checkpoint (last.ckpt) to go on from, exactly; a larger budget lengthens the run."""
    progress: Suppress[Literal["bar", "lines", "none"]] = "bar"
    """A bar for terminals, plain lines for logs."""

    @property
    def last_checkpoint(self) -> Path:
        """What `resume` takes to go on with this run."""
        return self.out / "checkpoints" / "last.ckpt"
