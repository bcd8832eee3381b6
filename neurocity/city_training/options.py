"""How the parts of a city are trained: what all of them have in common.

A part is a block, by its id, or the coarse model. Imports no torch: the command line shows these fields as
its options.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Literal

from tyro.conf import arg

from neurocity.data.reading import Missing
from neurocity.errors import ConfigError
from neurocity.presets import PresetName

COARSE: Final = "coarse"
"""What the coarse model is called among parts. No block is: their ids have the numbers of a cell."""


@dataclass(frozen=True, kw_only=True)
class PartOptions:
    """Fields that shape a model, and how long it is trained."""

    minutes: float | None = None
    """End each block after so many minutes of training."""
    steps: int | None = None
    """End each block after so many steps; the same seed then gives the same weights."""
    coarse_minutes: Annotated[float | None, arg(help_behavior_hint="(default: as a block)")] = None
    """Minutes of the coarse model."""
    preset: PresetName = "cpu"
    """Size of models and batches: `cpu` learns in minutes on two cores, `paper` wants a GPU."""
    set_: Annotated[tuple[str, ...], arg(name="set", metavar="NAME=VALUE ...", help_behavior_hint="")] = ()
    """Single values of all parts' configurations, as model.NAME=VALUE or training.NAME=VALUE."""
    exposure: bool = False
    """Learn each photograph's exposure and white balance with the coarse model, and undo it for blocks."""
    seed: int = 0
    """Seed of initial weights, rays and backgrounds."""
    data: Annotated[Path | None, arg(metavar="FOLDER", help_behavior_hint="(default: as planned)")] = None
    """Folder of the photographs, where it is another one than on the machine that planned."""
    downscale: int = 1
    """Divide image sizes by this whole number, with area filtering."""
    missing: Missing = "error"
    """`skip` leaves out frames whose images are missing."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where a part is trained; `auto` takes a GPU if there is one."""

    def __post_init__(self) -> None:
        """Raises ConfigError where nothing says how long training lasts."""
        if self.minutes is None and self.steps is None:
            raise ConfigError("minutes, steps: got neither, expected one that says how long a block trains")
        for name in ("minutes", "steps", "coarse_minutes"):
            if (value := getattr(self, name)) is not None and not value > 0:
                raise ConfigError(f"{name}: got {value}, expected more than 0")
        if self.coarse_minutes is not None and self.minutes is None:
            raise ConfigError("coarse_minutes: got it without minutes; blocks that end by steps, end all so")

    def budget(self, part: str) -> tuple[float | None, int | None]:
        """Minutes and steps of a part."""
        longer = part == COARSE and self.coarse_minutes is not None
        return (self.coarse_minutes if longer else self.minutes), self.steps
