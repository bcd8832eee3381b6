"""`neurocity train`."""

import logging
import sys

from neurocity.cli import Train
from neurocity.data.load import load_scene
from neurocity.families import find_family
from neurocity.training.run import RunOptions, train


def run(arguments: Train) -> None:
    """Train and print where the last checkpoint is. Raises as `neurocity.training.run.train` does."""
    # Lightning's own notes are about Lightning; figures and errors come from us.
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    logging.getLogger("pytorch_lightning.utilities.rank_zero").setLevel(logging.WARNING)
    family = find_family(arguments.family)
    scene = load_scene(
        arguments.data,
        downscale=arguments.downscale,
        bounds=arguments.bounds,
        unbounded=arguments.unbounded,
    )
    model_config = family.config_class().preset(arguments.preset).for_scene(scene.bounds, scene.unbounded)
    config = family.lightning_config_class().preset(
        arguments.preset, seed=arguments.seed, steps_per_epoch=arguments.steps_per_epoch
    )
    options = RunOptions(
        out=arguments.out,
        max_steps=arguments.max_steps,
        max_minutes=arguments.max_minutes,
        device=arguments.device,
        resume=arguments.resume,
        progress="bar" if sys.stderr.isatty() else "lines",
    )
    print(train(family, scene, model_config, config, options))
