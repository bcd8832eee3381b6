"""The process of one stage: `python -m benchmarks.gpu.task TASK JSON FILE`, FILE being for its figures.

Exit code 5 stands for what this machine has not; the last line of the output then says what.
"""

import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.gpu.process import ABSENT
from neurocity.errors import MissingDependencyError, NeuroCityError


def figures(task: str, values: dict[str, Any]) -> dict[str, Any]:
    """What the task measured, as plain JSON data. Each imports what it needs and no more."""
    match task:
        case "environment":
            from benchmarks.gpu.environment import environment  # noqa: PLC0415

            return environment(values)
        case "make_data":
            from benchmarks.gpu.training import make_data  # noqa: PLC0415

            return make_data(values)
        case "train":
            from benchmarks.gpu.training import train  # noqa: PLC0415

            return train(values)
        case "eager":
            from benchmarks.gpu.frames import eager  # noqa: PLC0415

            return eager(values)
        case "with_kernels":
            from benchmarks.gpu.frames import with_kernels  # noqa: PLC0415

            return with_kernels(values)
        case "kernels":
            from benchmarks.gpu.kernels import kernels  # noqa: PLC0415

            return kernels(values)
        case "write":
            from benchmarks.gpu.artefacts import write  # noqa: PLC0415

            return write(values)
        case "run":
            from benchmarks.gpu.artefacts import run  # noqa: PLC0415

            return run(values)
    raise ValueError(f"no task {task!r}")


def main(task: str, values: str, path: str) -> int:
    """Does the task; returns the exit code."""
    try:
        found = figures(task, json.loads(values))
    except MissingDependencyError as error:
        print(_one_line(error), flush=True)
        return ABSENT
    except ModuleNotFoundError as error:
        print(f"the package {error.name!r} is not installed", flush=True)
        return ABSENT
    except NeuroCityError as error:
        print(f"{type(error).__name__}: {_one_line(error)}", flush=True)
        return 1
    Path(path).write_text(json.dumps(found))
    return 0


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
