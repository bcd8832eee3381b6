"""The graph that is exported: the model's own or its twin of fixed budget, in the precision asked for."""

import copy

from torch import nn

from export.format import Precision
from neurocity.family import RenderModel


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
