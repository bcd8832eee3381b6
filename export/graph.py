"""The graph that is exported: the model's own, in the precision that was asked for."""

import copy
from collections.abc import Callable
from typing import cast

from torch import nn

from export.config import Precision
from neurocity.errors import UnsupportedError


def render_graph(model: nn.Module, precision: Precision) -> nn.Module:
    """`model` (float32), or for fp16 a copy whose features and networks are in half precision.

    What is halved is the family's to say, by `halve`. Raises UnsupportedError when it says nothing.
    """
    if precision == "fp32":
        return model
    if not hasattr(model, "halve"):
        raise UnsupportedError(f"{type(model).__name__} does not say what of it may be in half precision")
    halved = copy.deepcopy(model)
    cast(Callable[[], None], halved.halve)()
    return halved
