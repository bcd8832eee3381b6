"""What `neurocity-export` shows: progress while it works, a table of figures and the failures at the end."""

import json
from collections.abc import Sequence

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from export.job.inspect import worst_figures
from export.job.outcome import Outcome
from neurocity.contract import SceneManifest
from neurocity.errors import NeuroCityError


class ConsoleProgress(Progress):
    """The progress callback of jobs: bars on a terminal, a line for each step that is done elsewhere."""

    def __init__(self, console: Console) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        super().__init__(*columns, console=console, disable=not console.is_terminal)

    def __call__(self, doing: str, done: int, total: int) -> None:
        if not self.tasks or self.tasks[-1].description != doing:
            self.add_task(doing, total=total)
        task = self.tasks[-1]
        self.update(task.id, completed=done)
        if done == total and not self.console.is_terminal:
            line = f"{doing}: done in {task.elapsed or 0.0:.1f} s"
            self.console.print(line, markup=False, highlight=False, soft_wrap=True)


def print_outcomes(outcomes: Sequence[Outcome]) -> None:
    """The figures of the versions that are there now, and what became of each job, a line each."""
    if present := [outcome.manifest for outcome in outcomes if outcome.manifest is not None]:
        _print_figures(present)
    words = {"shipped": "wrote", "kept": "kept, as nothing has changed:"}
    for outcome in outcomes:
        if outcome.status in words:
            print(f"{words[outcome.status]} {outcome.where}")
        else:
            print(f"{outcome.status}: {outcome.job.label}")


def print_json(outcomes: Sequence[Outcome], exit_code: int, error: NeuroCityError | None = None) -> None:
    """One JSON document of all outcomes, on standard output; `error` is why there were no jobs."""
    document = {
        "exit_code": exit_code,
        "error": None if error is None else {"kind": type(error).__name__, "message": str(error)},
        "stages": [outcome.record() for outcome in outcomes],
    }
    print(json.dumps(document, indent=2))


def _print_figures(manifests: Sequence[SceneManifest]) -> None:
    """The figures of the worst view of each verified artefact: a table on a terminal, else a line each."""
    headings = ("model", "version", "PSNR, dB", "SSIM", "rgb error", "opacity error", "rays/s")
    table = Table(title="verified against the float32 model, worst held-out view")
    for heading in headings:
        table.add_column(heading, justify="left" if heading == "model" else "right", no_wrap=True)
    console = Console()
    for manifest in manifests:
        worst = worst_figures(manifest)
        cells = (
            manifest.model_name,
            str(manifest.version),
            f"{worst['psnr_db']:.1f}",
            f"{worst['ssim']:.6f}",
            f"{worst['rgb_error']:.1e}",
            f"{worst['opacity_error']:.1e}",
            f"{worst['rays_per_second']:,}",
        )
        table.add_row(*cells)
        if not console.is_terminal:
            named = zip(headings[1:], cells[1:], strict=True)
            print(f"{cells[0]}: " + ", ".join(f"{heading} {cell}" for heading, cell in named))
    if console.is_terminal:
        console.print(table)


def print_error(console: Console, message: str) -> None:
    """The message of an error, as it is."""
    console.print(f"error: {message}", style="red", markup=False, highlight=False, soft_wrap=True)
