"""What a city's training shows: a bar for each part that runs and one for all; without a terminal, lines."""

from collections.abc import Sequence

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from neurocity.city_training.job import Job, run_folder
from neurocity.city_training.record import read_progress, read_record
from neurocity.city_training.runners.runner import Result


class Table:
    """The `Watch` of jobs, as a context. total: parts in all, of which `done` need no training."""

    def __init__(self, total: int, done: int) -> None:
        self._console = Console(stderr=True)
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[figures]}"),
            TimeElapsedColumn(),
        )
        self._bars = Progress(*columns, console=self._console, disable=not self._console.is_terminal)
        self._total, self._done = total, done
        self._all = self._bars.add_task("all parts", total=total, completed=done, figures="")
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> "Table":
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def __call__(self, running: Sequence[Job], ended: Job | None, result: Result | None) -> None:
        """See `Watch`."""
        if ended is not None and result is not None:
            self._end(ended, result)
            return
        if self._bars.disable:
            return
        for job in running:
            progress = read_progress(job.run_folder)
            if job.part not in self._tasks:
                self._tasks[job.part] = self._bars.add_task(job.part, total=1.0, figures="")
            psnr = "" if progress.psnr is None else f"{progress.psnr:.1f} dB"
            task = self._tasks[job.part]
            self._bars.update(task, completed=progress.share, figures=f"step {progress.step} {psnr}")
        self._bars.update(self._all, completed=self._done, figures=f"{self._done} of {self._total}")

    def _end(self, job: Job, result: Result) -> None:
        self._done += result.code == 0
        if job.part in self._tasks:
            self._bars.remove_task(self._tasks.pop(job.part))
        words = f"failed: {result.error}" if result.code else trained(job)
        self._bars.console.print(f"{job.part}: {words}", markup=False, highlight=False, soft_wrap=True)


def trained(job: Job) -> str:
    """A trained part in words."""
    record = read_record(run_folder(job.city, job.part))
    if record is None:
        return "trained"
    psnr = "" if record.psnr is None else f", {record.psnr:.2f} dB"
    return f"trained, {record.step} steps in {record.seconds:.0f} s{psnr}"
