"""What `neurocity-export` shows: progress while it works, a table of figures and the failures at the end."""

import json
import time
from collections.abc import Sequence
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from export.job.inspect import worst_figures
from export.job.outcome import Outcome
from neurocity.contract import SceneManifest
from neurocity.errors import NeuroCityError


class ConsoleProgress:
    """The progress callback of jobs: bars on a terminal, a line for each step that is done elsewhere."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._doing = ""
        self._started = 0.0
        self._task: TaskID | None = None
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
            disable=not console.is_terminal,
        )

    def __enter__(self) -> "ConsoleProgress":
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def __call__(self, doing: str, done: int, total: int) -> None:
        if doing != self._doing:
            self._doing, self._started = doing, time.monotonic()
            self._task = self._bars.add_task(doing, total=total)
        if self._task is not None:
            self._bars.update(self._task, completed=done)
        if done == total and not self._console.is_terminal:
            self._print(f"{doing}: done in {time.monotonic() - self._started:.1f} s")

    def _print(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)


def print_outcomes(console: Console, outcomes: Sequence[Outcome]) -> None:
    """The figures of the versions that are there now, and what became of each job, a line each."""
    present = [outcome.manifest for outcome in outcomes if outcome.manifest is not None]
    if present:
        print_verified(console, present)
    words = {"shipped": "wrote", "kept": "kept, as nothing has changed:"}
    for outcome in outcomes:
        if outcome.status in words:
            line = f"{words[outcome.status]} {outcome.job.folder}"
        else:
            line = f"{outcome.status}: {outcome.job.label}"
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def print_json(outcomes: Sequence[Outcome], exit_code: int, error: NeuroCityError | None = None) -> None:
    """One JSON document of all outcomes, on standard output; `error` is why there were no jobs."""
    document = {
        "exit_code": exit_code,
        "error": None if error is None else {"kind": type(error).__name__, "message": str(error)},
        "stages": [outcome.record() for outcome in outcomes],
    }
    print(json.dumps(document, indent=2))


def print_verified(console: Console, manifests: Sequence[SceneManifest]) -> None:
    """The figures of the worst view of each verified artefact: a table on a terminal, else a line each."""
    headings = ("model", "version", "PSNR, dB", "SSIM", "rgb error", "opacity error", "rays/s")
    rows = [_row(manifest) for manifest in manifests]
    if not console.is_terminal:
        for row in rows:
            figures = ", ".join(
                f"{heading} {cell}" for heading, cell in zip(headings[1:], row[1:], strict=True)
            )
            console.print(f"{row[0]}: {figures}", markup=False, highlight=False, soft_wrap=True)
        return
    table = Table(title="verified against the float32 model, worst held-out view")
    for heading in headings:
        table.add_column(heading, justify="left" if heading == "model" else "right", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    console.print(table)


def _row(manifest: SceneManifest) -> tuple[str, ...]:
    worst = worst_figures(manifest)
    return (
        manifest.model_name,
        str(manifest.version),
        f"{worst['psnr_db']:.1f}",
        f"{worst['ssim']:.6f}",
        f"{worst['rgb_error']:.1e}",
        f"{worst['opacity_error']:.1e}",
        f"{worst['rays_per_second']:,}",
    )


def print_error(console: Console, message: str) -> None:
    """The message of an error, as it is."""
    console.print(f"error: {message}", style="red", markup=False, highlight=False, soft_wrap=True)
