"""The graph that is exported: the model's own or its twin of fixed budget, in the precision asked for."""

import copy
from collections.abc import Callable
from typing import Any, cast

from torch import nn

from export.format import Precision
from neurocity.errors import UnsupportedError


def render_graph(model: nn.Module, precision: Precision, samples: int | None = None) -> nn.Module:
    """The packed graph of `model` (float32), or with `samples` the one that takes so many samples a ray.

    For fp16 it is of a copy whose features and networks are in half precision. What is halved is the
    family's to say, by `halve`, and so is the fixed budget, by `fixed_budget`. Raises UnsupportedError when
    it says nothing, and ConfigError when the family cannot take that number.
    """
    chosen = _in_precision(model, precision)
    if samples is None:
        return chosen
    if not hasattr(chosen, "fixed_budget"):
        raise UnsupportedError(f"{type(model).__name__} has no render graph with a fixed number of samples")
    graph: nn.Module = cast(Any, chosen).fixed_budget(samples)
    return graph


def _in_precision(model: nn.Module, precision: Precision) -> nn.Module:
    if precision == "fp32":
        return model
    if not hasattr(model, "halve"):
        raise UnsupportedError(f"{type(model).__name__} does not say what of it may be in half precision")
    halved = copy.deepcopy(model)
    cast(Callable[[], None], halved.halve)()
    return halved
