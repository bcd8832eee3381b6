"""`neurocity demo-data`."""

from rich.console import Console
from rich.progress import Progress

from neurocity.cli import DemoData
from neurocity.data.city.generate import generate_city


def run(arguments: DemoData) -> None:
    """Write the dataset with a progress bar. Raises DataError when the folder holds something else."""
    with Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task("photographing the city", total=None)
        generate_city(
            arguments.out,
            arguments.city,
            lambda done, total: progress.update(task, completed=done, total=total),
            overwrite=arguments.overwrite,
        )
