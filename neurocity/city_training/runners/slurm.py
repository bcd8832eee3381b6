"""Scripts for SLURM, which are written and not run: the coarse model, and an array of blocks behind it."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from neurocity.errors import ConfigError

FOLDER: Final = "slurm"
COARSE_SCRIPT: Final = "coarse.sbatch"
BLOCKS_SCRIPT: Final = "blocks.sbatch"


def write_scripts(
    city: Path, name: str, indices: Sequence[int], command: Sequence[str], *, cpus: int | None, gpus: int
) -> list[str]:
    """Write both scripts into the city's folder, and return the command lines that hand them over.

    indices: of the parts to train, 0 for the coarse model. command: what trains one, but for its index.
    cpus: of a part; without, as many as SLURM gives.
    Raises ConfigError when they cannot be written.
    """
    folder = (city / FOLDER).resolve()
    words = shlex.join(command)
    blocks = [index for index in indices if index]
    lines = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if 0 in indices:
            head = _head(f"{name}-coarse", folder / "coarse-%j.txt", cpus, gpus)
            (folder / COARSE_SCRIPT).write_text("\n".join([*head, f"exec {words} --index 0", ""]))
        if blocks:
            head = _head(f"{name}-blocks", folder / "block-%a-%j.txt", cpus, gpus)
            head.append(f"#SBATCH --array={','.join(map(str, _ranges(blocks)))}")
            script = [*head, f'exec {words} --index "$SLURM_ARRAY_TASK_ID"', ""]
            (folder / BLOCKS_SCRIPT).write_text("\n".join(script))
    except OSError as error:
        raise ConfigError(f"{folder}: the scripts cannot be written ({error.strerror})") from None
    coarse, array = (shlex.quote(str(folder / script)) for script in (COARSE_SCRIPT, BLOCKS_SCRIPT))
    if 0 in indices and blocks:
        lines.append(
            f"sbatch --kill-on-invalid-dep=yes --dependency=afterok:$(sbatch --parsable {coarse}) {array}"
        )
    else:
        lines.append(f"sbatch {array if blocks else coarse}")
    return lines


def _head(name: str, output: Path, cpus: int | None, gpus: int) -> list[str]:
    return [
        "#!/bin/sh",
        f"#SBATCH --job-name={name}",
        f"#SBATCH --output={output}",
        *([f"#SBATCH --cpus-per-task={cpus}"] if cpus else []),
        *([f"#SBATCH --gpus-per-task={gpus}"] if gpus else []),
        "# A run that is told to end saves itself, and one that is queued again goes on. (B: it is the",
        "# script itself that is told. Without, job steps are, of which there are none.)",
        "#SBATCH --signal=B:TERM@120",
        "#SBATCH --requeue",
    ]


def _ranges(numbers: Sequence[int]) -> list[str]:
    """Numbers as SLURM writes them: 1-4,7."""
    found: list[list[int]] = []
    for number in sorted(numbers):
        if found and found[-1][-1] == number - 1:
            found[-1].append(number)
        else:
            found.append([number])
    return [str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in found]
