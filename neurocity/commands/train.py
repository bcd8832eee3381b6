"""`neurocity train`."""

import logging
import shlex
import sys
from dataclasses import replace
from typing import Any

from neurocity.cli import Train
from neurocity.commands.remarks import print_remarks
from neurocity.data.load import load_scene
from neurocity.data.scene import Scene
from neurocity.errors import ConfigError, TrainingInterruptedError
from neurocity.families import Family, find_family
from neurocity.training.run import is_first_process, train
from neurocity.training.run_config import FILE_NAME, RunConfig, assignments, read_run_config, with_values


def run(arguments: Train) -> None:
    """Train and print where the last checkpoint is. Raises as `neurocity.training.run.train` does."""
    # Lightning's own notes are about Lightning; figures and errors come from us.
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    logging.getLogger("pytorch_lightning.utilities.rank_zero").setLevel(logging.WARNING)
    given = RunConfig() if arguments.config is None else read_run_config(arguments.config)
    if given.family not in (None, arguments.family):
        raise ConfigError(f"family: got {arguments.family}, but {arguments.config} is of {given.family}")
    family, data = find_family(arguments.family), arguments.data
    scene = load_scene(
        data.path,
        downscale=data.downscale,
        missing=data.missing,
        bounds=data.bounds,
        unbounded=data.unbounded,
    )
    if is_first_process():
        print_remarks(scene)
    model, training = _configurations(arguments, given, family, scene)
    options = replace(arguments.run, progress="bar" if sys.stderr.isatty() else "lines")
    try:
        last = train(family, scene, model, config=training, options=options, data=data)
    except TrainingInterruptedError as error:
        if not options.last_checkpoint.exists():
            raise
        command = ["neurocity", "train", "--config", options.out / FILE_NAME, "--out", options.out]
        words = shlex.join(map(str, [*command, "--resume", options.last_checkpoint]))
        raise TrainingInterruptedError(f"{error}. To go on:\n{words}") from None
    if is_first_process():
        print(last)


def _configurations(arguments: Train, given: RunConfig, family: Family, scene: Scene) -> tuple[Any, Any]:
    """Of model and training: a preset, the file's values unless the preset was named, and named values."""
    kinds, preset = (family.config_class(), family.lightning_config_class()), arguments.preset or "cpu"
    model, training = (kind.preset(preset) for kind in kinds)
    place = (scene.bounds, scene.unbounded, scene.up)
    model = model.for_scene(*place)
    if arguments.preset is None:
        model = with_values(model, given.model, where="model")
        training = with_values(training, given.training, where="training")
        if given.data and arguments.data != with_values(arguments.data, given.data, where="data"):
            model = model.for_scene(*place)
    changes = assignments(arguments.set_)
    for name in ("seed", "steps_per_epoch"):
        if (value := getattr(arguments, name)) is not None:
            changes["training"].setdefault(name, value)
    if arguments.exposure:
        changes["training"].setdefault("exposure", "true")
    return (
        with_values(model, changes["model"], where="model"),
        with_values(training, changes["training"], where="training"),
    )
