"""Kernels for CUDA devices under test: on a GPU compiled, on a machine without one interpreted on the CPU."""

import pytest
import torch
from torch import Tensor

pytest.importorskip(
    "triton", reason="the package triton, which compiles and interprets the kernels, is absent"
)

HERE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
"""Where the kernels run. `conftest` has them interpreted where that is the CPU."""


def here(*tensors: Tensor) -> list[Tensor]:
    """The tensors where kernels run."""
    return [tensor.to(HERE) for tensor in tensors]
