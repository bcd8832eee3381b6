"""Quality after minutes of training: PSNR and SSIM on held-out views, speed, peak memory, and curves.

    python -m benchmarks.training --data DIR --minutes 3 12 --out FOLDER

Every family and budget is a run of its own, with a schedule of its own, in a process of its own. FOLDER gets
`results.json`, `curves.png` and the runs. Runs that are finished are not made again, so the same command goes
on after an interruption, and other families or budgets can be added.

The procedural city, bounded and seen from the air, and unbounded and seen from the streets:

    neurocity demo-data city/aerial --blocks 3 3 --cutout --street-share 0
    neurocity demo-data city/street --blocks 3 3 --street-share 1
    python -m benchmarks.training --data city/aerial --out benchmark-aerial
    python -m benchmarks.training --data city/street --unbounded True --out benchmark-street

Grid-NeRF with the paper's one ground plane, and as many parameters as Instant-NGP:

    python -m benchmarks.training --data city/aerial --out benchmark-aerial --families grid_nerf \
        --changes model.mode=city model.final_resolution=200
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import matplotlib as mpl
import tyro
from matplotlib.figure import Figure

from benchmarks.machine import facts
from benchmarks.training_run import Settings, TrainingRun
from neurocity.families import FAMILIES

COLUMNS = (
    "family",
    "minutes",
    "steps",
    "PSNR, dB",
    "SSIM",
    "rays/s",
    "samples/s",
    "s a frame",
    "peak memory, MiB",
    "parameters",
)


@dataclass(frozen=True, kw_only=True)
class Arguments(Settings):
    """Train families for budgets."""

    out: Path
    """Folder for results, curves and runs."""
    minutes: tuple[float, ...] = (3.0, 12.0)
    """Training budgets; validation is not counted."""
    families: tuple[str, ...] = tuple(FAMILIES)
    """Model families."""

    def runs(self) -> list[TrainingRun]:
        """What is to be measured, family by family."""
        shared = {field.name: getattr(self, field.name) for field in fields(Settings)}
        return [
            TrainingRun(family=family, minutes=minutes, **shared)
            for family in self.families
            for minutes in self.minutes
        ]


def main() -> None:
    """Print the tables; write results and curves after every run."""
    arguments = tyro.cli(Arguments, description=__doc__)
    store = arguments.out / "results.json"
    results: list[dict[str, Any]] = []
    print(f"{facts()}; {arguments.data.name}, preset {arguments.preset}, seed {arguments.seed}\n")
    print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}", flush=True)
    for run in arguments.runs():
        if run.key() not in _stored(store):
            result = _measured(run, arguments.out / _folder_name(run))
            # Read again: another process may have measured other runs in the meantime.
            store.write_text(json.dumps({**_stored(store), run.key(): result}, indent=2))
        results.append(_stored(store)[run.key()])
        print(_row(results[-1]), flush=True)
        plot_curves(list(_stored(store).values()), arguments.out / "curves.png")
    print(f"\n{_summary(results, arguments)}")


def _stored(store: Path) -> dict[str, dict[str, Any]]:
    return json.loads(store.read_text()) if store.is_file() else {}


def _folder_name(run: TrainingRun) -> str:
    return "-".join([run.family, f"{run.minutes:g}min", *run.changes])


def _measured(run: TrainingRun, out: Path) -> dict[str, Any]:
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    words = []
    for item in fields(run):
        value = getattr(run, item.name)
        if value is not None:
            values = value if isinstance(value, tuple) else (value,)
            words += [f"--{item.name.replace('_', '-')}", *map(str, values)]
    command = [sys.executable, "-m", "benchmarks.training_run", *words, "--out", str(out)]
    with (out / "output.txt").open("w") as output:
        code = subprocess.run(command, stdout=output, stderr=subprocess.STDOUT, check=False).returncode
    if code != 0:
        raise SystemExit(f"{' '.join(command)} ended with {code}:\n{(out / 'output.txt').read_text()}")
    return json.loads((out / "result.json").read_text())


def _row(result: Mapping[str, Any]) -> str:
    run = result["run"]
    rates = f"{result['rays/s']:.0f} | {result['samples/s']:.0f}"
    quality = f"{result['psnr']:.2f} | {result['ssim']:.4f}"
    costs = f"{result['seconds_per_frame']:.2f} | {result['peak_memory_mib']:.0f} | {result['parameters']}"
    return f"| {_name(run)} | {run['minutes']:g} | {result['steps']} | {quality} | {rates} | {costs} |"


def _name(run: Mapping[str, Any]) -> str:
    """The family, and what of it differs from the preset."""
    return " ".join([run["family"], *run["changes"]])


def _summary(results: Sequence[Mapping[str, Any]], arguments: Arguments) -> str:
    """PSNR alone, a row for each model."""
    figures = {(_name(result["run"]), result["run"]["minutes"]): result["psnr"] for result in results}
    heads = " | ".join(f"PSNR after {minutes:g} min" for minutes in arguments.minutes)
    lines = [f"| family | {heads} |", f"|{'---|' * (1 + len(arguments.minutes))}"]
    for name in dict.fromkeys(name for name, _ in figures):
        cells = " | ".join(f"{figures[name, minutes]:.2f}" for minutes in arguments.minutes)
        lines.append(f"| {name} | {cells} |")
    return "\n".join(lines)


def plot_curves(results: Sequence[Mapping[str, Any]], path: Path) -> None:
    """PSNR against training minutes; a colour for each model, a line for each budget."""
    results = sorted(results, key=lambda result: (_name(result["run"]), result["run"]["minutes"]))
    figure = Figure(figsize=(8.0, 5.0), layout="constrained")
    axes = figure.add_subplot(xlabel="minutes of training", ylabel="PSNR, dB")
    names = list(dict.fromkeys(_name(result["run"]) for result in results))
    longest = max(result["run"]["minutes"] for result in results)
    for result in results:
        run = result["run"]
        seconds, quality = zip(*result["curve"], strict=True)
        axes.plot(
            [value / 60.0 for value in seconds],
            quality,
            color=mpl.colormaps["tab10"](names.index(_name(run))),
            linestyle="-" if run["minutes"] == longest else "--",
            marker=".",
            label=f"{_name(run)}, {run['minutes']:g} min",
        )
    axes.grid(alpha=0.3)
    axes.legend()
    axes.set_title(
        f"Mean of {results[0]['curve_views']} held-out views, averaged weights, validation not counted"
    )
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
