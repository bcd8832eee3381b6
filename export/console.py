"""What `neurocity-export` shows: progress while it works, a table of figures and the failures at the end."""

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from neurocity.contract import SceneManifest


class ConsoleProgress:
    """The progress callback of the pipeline: bars on a terminal, a line for each finished stage elsewhere."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._stage = ""
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

    def __call__(self, stage: str, done: int, total: int) -> None:
        if stage != self._stage:
            self._stage, self._started = stage, time.monotonic()
            self._task = self._bars.add_task(stage, total=total)
        if self._task is not None:
            self._bars.update(self._task, completed=done)
        if done == total and not self._console.is_terminal:
            self._print(f"{stage}: done in {time.monotonic() - self._started:.1f} s")

    def _print(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)


def print_shipped(console: Console, manifests: list[SceneManifest]) -> None:
    """One row a shipped artefact with the figures of its worst view."""
    table = Table(title="verified against the float32 model, worst held-out view")
    for heading in ("model", "version", "PSNR, dB", "SSIM", "rgb error", "opacity error", "rays/s"):
        table.add_column(heading, justify="left" if heading == "model" else "right")
    for manifest in manifests:
        views = manifest.parity["views"]
        table.add_row(
            manifest.model_name,
            str(manifest.version),
            f"{min(view['psnr_db'] for view in views):.1f}",
            f"{min(view['ssim'] for view in views):.6f}",
            f"{max(view['rgb'] for view in views):.1e}",
            f"{max(view['opacity'] for view in views):.1e}",
            f"{manifest.parity['rays_per_second']:,}",
        )
    console.print(table)


def print_error(console: Console, message: str) -> None:
    """The message of an error, as it is."""
    console.print(f"error: {message}", style="red", markup=False, highlight=False, soft_wrap=True)
