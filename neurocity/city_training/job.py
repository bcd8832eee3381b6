"""One job: a part of a city, and what it is trained by. Plain data that goes to other processes and machines.

Below the city's folder a part has `runs/<part>/`: a run as `neurocity train` makes it, and beside its
checkpoints `record.json`, which says what became of the job, and `progress.json`, how far it is.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from neurocity.city.manifest import City
from neurocity.city_training.options import COARSE, PartOptions
from neurocity.errors import ConfigError

RUNS_FOLDER = "runs"
_HOW_LONG = ("minutes", "steps", "coarse_minutes")
_WHERE = ("data", "device")
"""Options that do not shape a model, as long as the photographs are those of the plan."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """city: its folder. part: a block's id, or `COARSE`. threads: that it may use, 0 for all there are.

    overwrite: train anew what was trained by another plan or other options.
    """

    city: Path
    part: str
    options: PartOptions
    threads: int = 0
    overwrite: bool = False

    @property
    def run_folder(self) -> Path:
        """Where its run is."""
        return run_folder(self.city, self.part)

    def to_json(self) -> str:
        """The job as one JSON object."""
        return json.dumps(asdict(self), default=str)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Inverse of `to_json`. Raises ConfigError on anything else."""
        try:
            given = json.loads(text)
            options = given["options"]
            options["set_"] = tuple(options["set_"])
            options["data"] = None if options["data"] is None else Path(options["data"])
            return cls(**{**given, "city": Path(given["city"]), "options": PartOptions(**options)})
        except (ValueError, TypeError, KeyError) as error:
            raise ConfigError(f"job: got {text!r}, expected the fields of a job as JSON ({error})") from None


def run_folder(city: Path, part: str) -> Path:
    """Where the run of a part of the city in a folder is."""
    return city / RUNS_FOLDER / part


def parts_of(city: City) -> tuple[str, ...]:
    """The coarse model, which all others need, and the blocks as they stand in the plan."""
    return (COARSE, *(block.id for block in city.blocks))


def job_digest(city: City, part: str, options: PartOptions, coarse_sha256: str = "") -> str:
    """SHA-256 over all that shapes a part's model but how long it is trained.

    coarse_sha256: of the coarse model's checkpoint, which blocks begin with.
    """
    chosen = {name: value for name, value in asdict(options).items() if name not in (*_HOW_LONG, *_WHERE)}
    return _digest(plan_digest(city, part), chosen, coarse_sha256)


def plan_digest(city: City, part: str) -> str:
    """SHA-256 over what the plan says of a part: where it lies, and which photographs train it."""
    planned: dict[str, Any] = asdict(city.coarse)
    if part != COARSE:
        planned = asdict(city.block(part))
        del planned["neighbours"], planned["coarser"]
    del planned["model"]
    return _digest(planned, asdict(city.ground), city.origin, city.up, city.unbounded)


def _digest(*values: Any) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode()).hexdigest()
