"""Jobs as tasks of a Ray cluster, whose machines share the city's folder and the photographs.

When a machine dies, Ray runs its tasks on another, where they go on from their last checkpoints.
"""

import logging
import os
import sys
import traceback
from typing import Any, Final

from neurocity.city_training.job import Job
from neurocity.city_training.record import LOG_FILE
from neurocity.city_training.runners.runner import Result
from neurocity.errors import ConfigError, MissingDependencyError
from neurocity.exit_codes import FAILURE, INTERRUPTED

END_SECONDS: Final = 120.0
"""For a task that is told to end: it saves after the running step."""


class RayRunner:
    """See `Runner`; the cluster decides how many jobs run.

    address: of the cluster; empty for the one that RAY_ADDRESS names or this machine is of, or a new one
    here. cpus, gpus: that a job takes. retries: how often Ray begins a job anew whose machine died.
    Raises MissingDependencyError without Ray, and ConfigError when there is no such cluster.
    """

    slots = 0

    def __init__(self, *, address: str, cpus: int, gpus: float, retries: int) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        try:
            import ray  # noqa: PLC0415, an extra
        except ModuleNotFoundError as error:
            raise MissingDependencyError(
                "runner ray: the package ray is missing: pip install 'neurocity[city]'"
            ) from error
        self._ray = ray
        if not ray.is_initialized():
            try:
                ray.init(address=address or None, log_to_driver=False, logging_level=logging.ERROR)
            except (ConnectionError, RuntimeError, ValueError) as error:
                raise ConfigError(
                    f"ray_address: no cluster at {address or 'this machine'}: {error}"
                ) from None
        wanted = {"CPU": float(cpus), "GPU": gpus}
        machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        if not any(all(has.get(name, 0.0) >= of for name, of in wanted.items()) for has in machines):
            # No error: clusters may grow when tasks wait.
            print(
                f"neurocity: note: no machine of the Ray cluster has {cpus} processors and {gpus:g} GPUs; "
                "parts wait for one (--cpus, --gpus)",
                file=sys.stderr,
            )
        options = {"num_cpus": cpus, "num_gpus": gpus, "max_retries": retries}
        self._task = ray.remote(_train).options(**options)

    def start(self, job: Job) -> "Task":
        """See `Runner`."""
        return Task(self._ray, self._task.remote(job.to_json()))


class Task:
    """See `Running`."""

    def __init__(self, ray: Any, reference: Any) -> None:
        self._ray, self._reference = ray, reference

    def result(self) -> Result | None:
        """See `Running`."""
        done, _ = self._ray.wait([self._reference], timeout=0)
        if not done:
            return None
        try:
            return Result(*self._ray.get(self._reference))
        except self._ray.exceptions.RayError as error:
            return Result(FAILURE, str(error).strip().partition("\n")[0])

    def stop(self) -> None:
        """See `Running`: the task gets a KeyboardInterrupt, on which training saves."""
        self._ray.cancel(self._reference)

    def end(self) -> None:
        """See `Running`."""
        self._ray.wait([self._reference], timeout=END_SECONDS)


def _train(text: str) -> tuple[int, str]:
    """A job in a worker's process: its exit code, and what was wrong."""
    from neurocity.city_training.part import train_part  # noqa: PLC0415, torch in workers alone
    from neurocity.errors import NeuroCityError  # noqa: PLC0415
    from neurocity.exit_codes import exit_code  # noqa: PLC0415

    job = Job.from_json(text)
    try:
        train_part(job)
    except NeuroCityError as error:
        return exit_code(error), str(error)
    except KeyboardInterrupt:
        return INTERRUPTED, "interrupted"
    except Exception as error:
        log = job.run_folder / LOG_FILE
        with log.open("a") as file:
            traceback.print_exc(file=file)
        return FAILURE, f"{type(error).__name__}: {error} ({log})"
    return 0, ""
