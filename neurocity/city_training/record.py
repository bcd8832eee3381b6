"""What became of a part's training, as a file beside its run: it says what is trained and what is not."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from neurocity.contract import record_from_json, to_json
from neurocity.errors import ManifestError, TrainingError, UnreadableError
from neurocity.publishing import published

SCHEMA_VERSION = 1
RECORD_FILE: Final = "record.json"
PROGRESS_FILE: Final = "progress.json"
LOG_FILE: Final = "log.txt"
_LOCK_FILE: Final = ".lock"
PATIENCE_SECONDS: Final = 120.0
"""For which who begins a part waits for one that is there: it may be told to end, or its machine dead."""
_POLL_SECONDS: Final = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A part's state.

    digest: see `job.job_digest`; plan: see `job.plan_digest`; photographs: see `stamps`. minutes, steps: how
    long it was to be trained. checkpoint: the file of its weights, relative to the city's folder; sha256 of
    it once it is trained. coarse_sha256: of the coarse model that it began with. step, seconds, psnr: of the
    training; psnr in dB, of the pixels of held-out views that show the part. error, exit_code: why it
    failed. host: the machine. attempts: how often it was begun.
    """

    part: str
    state: str
    digest: str
    plan: str = ""
    photographs: str = ""
    minutes: float | None = None
    steps: int | None = None
    checkpoint: str = ""
    sha256: str = ""
    coarse_sha256: str = ""
    step: int = 0
    seconds: float = 0.0
    psnr: float | None = None
    error: str = ""
    exit_code: int = 0
    host: str = ""
    attempts: int = 1
    schema_version: int = SCHEMA_VERSION

    def __post_init__(self) -> None:
        """Raises ManifestError on a state that there is not."""
        if self.state not in ("training", "trained", "failed"):
            raise ManifestError(f"state: got {self.state!r}, expected training, trained or failed")

    def is_of_others(self, photographs: str) -> bool:
        """Whether its photographs were others than these; not where either is not known."""
        return bool(self.photographs and photographs) and self.photographs != photographs

    def is_done(self, digest: str, minutes: float | None, steps: int | None) -> bool:
        """Whether this is what a job would make: nothing is left to train."""
        return (self.state, self.digest, self.minutes, self.steps) == ("trained", digest, minutes, steps)


@dataclass(frozen=True)
class Progress:
    """How far a run is: share of it in [0, 1], step, and PSNR of its last batches in dB."""

    share: float = 0.0
    step: int = 0
    psnr: float | None = None


def read_record(run: Path) -> Record | None:
    """The record of a run's folder, None where there is none. Raises UnreadableError and ManifestError."""
    path = run / RECORD_FILE
    try:
        text = path.read_text()
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise UnreadableError(f"{path}: cannot be read ({error})") from None
    return record_from_json(Record, text, str(path), "remove the run's folder, which trains it again,")


def write_record(run: Path, record: Record) -> None:
    """Write it in one step. Raises TrainingError when it cannot be written."""
    path = run / RECORD_FILE
    try:
        run.mkdir(parents=True, exist_ok=True)
        with published(path) as partial:
            partial.write_text(to_json(record) + "\n")
    except OSError as error:
        raise TrainingError(f"{path}: cannot be written ({error.strerror})") from None


def read_progress(run: Path) -> Progress:
    """How far a run is, as its process last said; the beginning where it said nothing."""
    try:
        found = json.loads((run / PROGRESS_FILE).read_text())
        return Progress(float(found["share"]), int(found["step"]), found.get("psnr"))
    except (OSError, ValueError, KeyError, TypeError):
        return Progress()


@contextmanager
def only_one(run: Path, patience: float = PATIENCE_SECONDS) -> Iterator[None]:
    """The one process that trains a part, as long as it runs.

    Raises TrainingError when another is that for longer than `patience` seconds. A process that dies is not.
    """
    import fcntl  # noqa: PLC0415, where there are such locks: the commands' help is shown without

    run.mkdir(parents=True, exist_ok=True)
    with (run / _LOCK_FILE).open("a") as file:
        deadline = time.monotonic() + patience
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise TrainingError(
                        f"{run}: another process trains this part now; wait for it, or end it"
                    ) from None
                time.sleep(_POLL_SECONDS)
        yield
