"""Quality after minutes of training: PSNR and SSIM on held-out views, speed and peak memory.

python -m benchmarks.training --data DIR --minutes 3 12
"""

import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import tyro

from benchmarks.machine import facts, peak_memory
from neurocity.checkpoint import load_checkpoint
from neurocity.families import FAMILIES


@dataclass(frozen=True)
class Arguments:
    """Train each family from scratch for each budget, in a process of its own."""

    data: Path
    """Folder of the dataset."""
    minutes: tuple[float, ...] = (3.0, 12.0)
    """Training budgets; validation is not counted."""
    families: tuple[str, ...] = tuple(FAMILIES)
    """Model families."""
    preset: str = "cpu"
    """Size of model and batches."""
    seed: int = 0
    """Seed of every run."""
    downscale: int = 1
    """Divide image sizes by this whole number."""


def main() -> None:
    """Print the table."""
    arguments = tyro.cli(Arguments, description=__doc__)
    print(f"{facts()}; {arguments.data.name}, preset {arguments.preset}, seed {arguments.seed}\n")
    print("| family | minutes | steps | PSNR, dB | SSIM | s a frame | peak memory of training, MiB |")
    print("|---|---|---|---|---|---|---|", flush=True)
    for family in arguments.families:
        for minutes in arguments.minutes:
            with tempfile.TemporaryDirectory() as folder:
                print(_row(arguments, family, minutes, Path(folder) / "run"), flush=True)


def _row(arguments: Arguments, family: str, minutes: float, out: Path) -> str:
    data = ["--data", str(arguments.data), "--downscale", str(arguments.downscale)]
    budget = ["--max-minutes", str(minutes), "--seed", str(arguments.seed), "--preset", arguments.preset]
    peak = _run("train", family, *data, "--out", str(out), *budget, "--steps-per-epoch", "1000000")
    checkpoint = out / "checkpoints" / "last.ckpt"
    report = json.loads(
        subprocess.run(
            [sys.executable, "-m", "neurocity", "evaluate", str(checkpoint), *data],
            check=True,
            capture_output=True,
        ).stdout
    )
    steps = load_checkpoint(checkpoint).step
    figures = f"{report['psnr']:.2f} | {report['ssim']:.4f} | {report['seconds_per_frame']:.2f}"
    return f"| {family} | {minutes:g} | {steps} | {figures} | {peak / 2**20:.0f} |"


def _run(*arguments: str) -> int:
    """Run `neurocity` and return the peak resident memory of its process in bytes."""
    with (
        tempfile.TemporaryFile() as log,
        subprocess.Popen(
            [sys.executable, "-m", "neurocity", *arguments], stdout=log, stderr=subprocess.STDOUT
        ) as process,
    ):
        peak = 0
        while process.poll() is None:
            peak = max(peak, peak_memory(process.pid))
            time.sleep(0.5)
        if process.returncode != 0:
            log.seek(0)
            raise SystemExit(log.read().decode())
        return peak


if __name__ == "__main__":
    main()
