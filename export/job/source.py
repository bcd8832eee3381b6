"""What is exported: a checkpoint of `neurocity train` or a model of another program, and its graph."""

import copy
from pathlib import Path

from torch import nn

from export.format import Precision
from neurocity.checkpoint import Checkpoint, load_checkpoint
from neurocity.data.load import load_scene
from neurocity.errors import ConfigError
from neurocity.family import RenderModel
from neurocity.svraster.nvlabs_checkpoint import load_nvlabs_checkpoint
from neurocity.svraster.nvlabs_model_file import is_model_file


def open_checkpoint(path: Path, cameras: Path | None) -> Checkpoint:
    """The checkpoint at `path`; `cameras` is the dataset of a model of another program, which holds no views.

    Raises CheckpointError as `load_checkpoint` does, DataError on a dataset that cannot be read, and
    ConfigError when `cameras` is missing, or given for a checkpoint that has its own.
    """
    if not is_model_file(path):
        checkpoint = load_checkpoint(path)
        if cameras is not None:
            raise ConfigError(
                f"cameras: got {cameras}, but {path} holds the held-out views of its own dataset"
            )
        return checkpoint
    if cameras is None:
        raise ConfigError(
            f"{path} is an SVRaster model of another program and holds no views to compare artefacts on; "
            "--cameras names its dataset (a folder, or a transforms.json in it)"
        )
    folder = cameras.parent if cameras.is_file() else cameras
    return load_nvlabs_checkpoint(path, load_scene(folder, origin=(0.0, 0.0, 0.0)))


def render_graph(model: RenderModel, precision: Precision, samples: int | None = None) -> nn.Module:
    """The packed graph of `model` (float32), or with `samples` the one that takes so many samples a ray.

    For fp16 it is of a copy whose features and networks are in half precision. Raises ConfigError when the
    family cannot take that number of samples.
    """
    if precision == "fp16":
        model = copy.deepcopy(model)
        model.halve()
    if samples is not None:
        return model.fixed_budget(samples)
    assert isinstance(model, nn.Module)
    return model
