"""`neurocity city train`."""

import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields, replace

from neurocity.city.manifest import City, read_city
from neurocity.city_training.job import Job, parts_of
from neurocity.city_training.options import COARSE, PartOptions
from neurocity.city_training.record import Record, read_record
from neurocity.city_training.runners.local import LocalRunner
from neurocity.city_training.runners.ray_cluster import RayRunner
from neurocity.city_training.runners.runner import Result, Runner, run_jobs
from neurocity.city_training.runners.slurm import write_scripts
from neurocity.city_training.stamps import Stamps
from neurocity.city_training.state import digest_of, is_trained
from neurocity.city_training.table import Table
from neurocity.cli import CityTrain
from neurocity.errors import ConfigError, NeuroCityError, TrainingError
from neurocity.resources import available_processors

FAILED_SECONDS = 60.0
"""For which a part that failed may be begun again, by the command that it is a part of or after a mistake was
mended, until those that wait for it give up."""
_WAIT_SECONDS = 2.0


def run(arguments: CityTrain) -> None:
    """Train the parts that are asked for. Raises ConfigError and ManifestError, and TrainingError that names
    the parts which failed.
    """
    city = read_city(arguments.city)
    if not city.data and arguments.options.data is None:
        raise ConfigError(f"{arguments.city}: was cut from a model, and has no photographs to train on")
    parts = _parts(city, arguments)
    if arguments.index is None and COARSE not in parts:
        parts = (COARSE, *parts)
    if arguments.runner == "slurm":
        print(*_scripts(city, arguments, parts), sep="\n")
        return
    stamps = Stamps(city, arguments.options)
    cpus = arguments.cpus or max(available_processors() // arguments.jobs, 1)

    def job(part: str) -> Job:
        options, city = _elsewhere(arguments.options), arguments.city.resolve()
        # Nothing is trained beside the coarse model.
        all_of_them = part == COARSE and arguments.runner == "local" and arguments.cpus is None
        threads = available_processors() if all_of_them else cpus
        return Job(city=city, part=part, options=options, threads=threads, overwrite=arguments.overwrite)

    if arguments.index is not None and COARSE not in parts:
        with _signals_interrupt():  # as the first process of a container it would not be ended by them
            _wait_for_coarse(city, job(COARSE), stamps)
    jobs = [job(part) for part in parts]
    failed = _train(city, jobs, stamps, _runner(arguments, cpus), arguments.retries)
    for part, result in failed.items():
        print(f"neurocity: {part}: {result.error}", file=sys.stderr)
    if failed:
        raise TrainingError(
            f"{len(failed)} of {len(jobs)} parts are not trained: {', '.join(failed)}; the same command "
            "tries these again"
        )


def _parts(city: City, arguments: CityTrain) -> tuple[str, ...]:
    """What is asked for. Raises ConfigError, and ManifestError for a block that the city has not."""
    parts = parts_of(city)
    if arguments.index is not None and arguments.only:
        raise ConfigError("index, only: got both, expected one that says what is to be trained")
    if arguments.index is not None:
        if not 0 <= arguments.index < len(parts):
            raise ConfigError(f"index: got {arguments.index}, expected 0 to {len(parts) - 1}")
        return (parts[arguments.index],)
    for part in arguments.only:
        if part != COARSE:
            city.block(part)
    return tuple(part for part in parts if not arguments.only or part in arguments.only)


def _train(
    city: City, jobs: Sequence[Job], stamps: Stamps, runner: Runner, retries: int
) -> dict[str, Result]:
    """Those that failed; the coarse model is trained before all others."""
    first = [job for job in jobs if job.part == COARSE]
    others = [job for job in jobs if job.part != COARSE]
    with _signals_interrupt():
        failed = _train_some(city, first, stamps, runner, retries)
        if failed:
            return failed | {
                job.part: Result(1, "was not begun, since blocks begin with the coarse model")
                for job in others
            }
        return _train_some(city, others, stamps, runner, retries)


def _train_some(
    city: City, jobs: Sequence[Job], stamps: Stamps, runner: Runner, retries: int
) -> dict[str, Result]:
    left = [job for job in jobs if not is_trained(city, job, stamps)]
    for job in jobs:
        if job not in left:
            print(f"{job.part}: is trained already", file=sys.stderr)
    with Table(len(jobs), len(jobs) - len(left)) as table:
        results = run_jobs(left, runner, retries=retries, watch=table)
    return {part: result for part, result in results.items() if result.code}


def _runner(arguments: CityTrain, cpus: int) -> Runner:
    if arguments.runner == "ray":
        return RayRunner(
            address=arguments.ray_address, cpus=cpus, gpus=arguments.gpus_of_block, retries=arguments.retries
        )
    return LocalRunner(arguments.jobs)


def _wait_for_coarse(city: City, coarse: Job, stamps: Stamps) -> None:
    """Of a part that was begun by its number, beside others: the coarse model is another one's work.

    Raises TrainingError when that has failed and is not begun again, and ConfigError when it is one of
    another plan or other options, which its own job refuses, or of another budget and not trained further.
    """
    told = False
    ended: tuple[Record, float] | None = None
    while not is_trained(city, coarse, stamps):
        record = read_record(coarse.run_folder)
        if record is not None and record.state != "training":
            if ended is None or ended[0] != record:
                ended = record, time.monotonic()
            if time.monotonic() - ended[1] >= FAILED_SECONDS:
                raise _given_up(record, coarse)
        is_other = record is not None and record.digest != digest_of(city, coarse)
        if is_other and record is not None and record.state == "trained" and not coarse.overwrite:
            raise ConfigError(
                f"the coarse model, index 0, in {coarse.run_folder} was trained by another plan or options; "
                "--overwrite for all parts trains them anew"
            )
        if not told:
            print("neurocity: waiting for the coarse model, index 0", file=sys.stderr, flush=True)
            told = True
        time.sleep(_WAIT_SECONDS)


def _given_up(record: Record, coarse: Job) -> NeuroCityError:
    """What to say of a coarse model that nobody trains further."""
    if record.state == "failed":
        return TrainingError(f"the coarse model, index 0, has failed: {record.error}")
    minutes, steps = coarse.options.budget(COARSE)
    if (record.minutes, record.steps) == (minutes, steps):
        return ConfigError(
            "the coarse model, index 0, was trained on other photographs of the same names, or its weights "
            "are gone; train index 0 again, with --overwrite"
        )
    return ConfigError(
        f"the coarse model, index 0, was trained for {_how_long(record.minutes, record.steps)}, expected "
        f"{_how_long(minutes, steps)}; train index 0 for as long, or ask for what there is (--coarse-minutes)"
    )


def _how_long(minutes: float | None, steps: int | None) -> str:
    return " and ".join(
        f"{value:g} {unit}" for value, unit in ((minutes, "minutes"), (steps, "steps")) if value
    )


def _elsewhere(options: PartOptions) -> PartOptions:
    """The options for processes that may have another working directory."""
    return options if options.data is None else replace(options, data=options.data.resolve())


def _scripts(city: City, arguments: CityTrain, parts: Sequence[str]) -> list[str]:
    """What hands the scripts over to SLURM."""
    numbers = [number for number, part in enumerate(parts_of(city)) if part in parts]
    command = ["neurocity", "city", "train", str(arguments.city.resolve())]
    command += ["--retries", str(arguments.retries)]
    command += option_words(_elsewhere(arguments.options))
    command += ["--overwrite"] if arguments.overwrite else []
    return write_scripts(
        arguments.city,
        city.name,
        numbers,
        command,
        cpus=arguments.cpus,
        gpus=int(arguments.gpus_of_block),
    )


def option_words(options: PartOptions) -> list[str]:
    """The options that are not as they are by default, as words of the command line."""
    words = []
    for field in fields(options):
        value = getattr(options, field.name)
        name = "--" + field.name.rstrip("_").replace("_", "-")
        if value == field.default:
            continue
        if value is True:
            words.append(name)
        elif isinstance(value, tuple):
            words += [name, *map(str, value)]
        else:
            words += [name, str(value)]
    return words


@contextmanager
def _signals_interrupt() -> Iterator[None]:
    """Inside, SIGTERM is as Ctrl-C: what runs is told to end, and saves."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
