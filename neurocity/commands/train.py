"""`neurocity train`."""

import logging
import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from neurocity.cli import Train
from neurocity.data.load import load_scene
from neurocity.errors import ConfigError, TrainingInterruptedError
from neurocity.families import find_family
from neurocity.training.run import RunOptions, is_first_process, prepare_folder, train
from neurocity.training.run_config import (
    FILE_NAME,
    RUN_FIELDS,
    DataOptions,
    RunConfig,
    assignments,
    read_run_config,
    run_values,
    with_values,
    write_run_config,
)


def run(arguments: Train) -> None:
    """Train and print where the last checkpoint is. Raises as `neurocity.training.run.train` does."""
    # Lightning's own notes are about Lightning; figures and errors come from us.
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    logging.getLogger("pytorch_lightning.utilities.rank_zero").setLevel(logging.WARNING)
    given = RunConfig() if arguments.config is None else read_run_config(arguments.config)
    family = find_family(_agreed_family(arguments, given))
    data = _data_options(arguments, given)
    scene = load_scene(data.path, downscale=data.downscale, bounds=data.bounds, unbounded=data.unbounded)
    changes = assignments(arguments.set_)

    preset = arguments.preset or "cpu"
    model = family.config_class().preset(preset).for_scene(scene.bounds, scene.unbounded, scene.up)
    training = family.lightning_config_class().preset(preset)
    if arguments.preset is None:
        model = with_values(model, given.model, where="model")
        training = with_values(training, given.training, where="training")
        if given.data and data != _data_options(Train(out=arguments.out), given):
            model = model.for_scene(scene.bounds, scene.unbounded, scene.up)
    model = with_values(model, changes["model"], where="model")
    named = {name: getattr(arguments, name) for name in ("seed", "steps_per_epoch")}
    named = {name: value for name, value in named.items() if value is not None}
    training = with_values(training, {**named, **changes["training"]}, where="training")

    options = _run_options(arguments, given)
    prepare_folder(options)
    if is_first_process():
        write_run_config(family.name, data, model=model, training=training, options=options)
    try:
        last = train(family, scene, model, config=training, options=options)
    except TrainingInterruptedError as error:
        if not options.last_checkpoint.exists():
            raise
        command = ["neurocity", "train", "--config", options.out / FILE_NAME, "--out", options.out]
        words = shlex.join(map(str, [*command, "--resume", options.last_checkpoint]))
        raise TrainingInterruptedError(f"{error}. To go on:\n{words}") from None
    if is_first_process():
        print(last)


def _agreed_family(arguments: Train, given: RunConfig) -> str:
    family = arguments.family or given.family
    if family is None:
        raise ConfigError("family: name one, or give a --config that does")
    if given.family not in (None, family):
        raise ConfigError(f"family: got {family}, but {arguments.config} is of {given.family}")
    return family


def _data_options(arguments: Train, given: RunConfig) -> DataOptions:
    named = {"path": arguments.data} | {
        name: getattr(arguments, name) for name in ("downscale", "bounds", "unbounded")
    }
    named = {name: value for name, value in named.items() if value is not None}
    if "path" not in given.data and "path" not in named:
        raise ConfigError("data: name a folder, or give a --config that does")
    options = with_values(DataOptions(path=Path()), given.data, where="data")
    return replace(options, **named)


def _run_options(arguments: Train, given: RunConfig) -> RunOptions:
    progress: Any = "bar" if sys.stderr.isatty() else "lines"
    options = run_values(given, RunOptions(out=arguments.out, resume=arguments.resume, progress=progress))
    named = {name: getattr(arguments, name) for name in RUN_FIELDS}
    return replace(options, **{name: value for name, value in named.items() if value is not None})
