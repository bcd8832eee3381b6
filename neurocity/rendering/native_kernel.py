"""Operators that stand for a part of a render graph and whose C++ is compiled into packages for CPUs.

A compiler that fuses operators still stores what goes from one loop to the next, for all rays at once; a
kernel that follows each ray to its end stores nothing. Such a kernel is one operator of the library
`neurocity`, recorded where `graph_target.recorded_for` says so. It has no implementation in Python:
the same part in PyTorch operators is the definition, which everything else runs.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

LIBRARY = "neurocity"
MARCH_ARGUMENTS = (
    "Tensor origins, Tensor directions, Tensor starts, Tensor counts, Tensor jump, Tensor edges, Tensor low, "
    "Tensor center, int grid, int unbounded, float step, float side, float near, float growth"
)
"""What `native/march.hpp` needs, as `RayMarcher.native_arguments` gives it."""
_C_TYPES = {"Tensor": "AtenTensorHandle", "int": "int64_t", "float": "double"}


@dataclass(frozen=True)
class NativeKernel:
    """An operator, and the C++ source of the function that a package calls for it.

    The source defines `declaration` for the CPU, with the helpers of `native/tensors.hpp`.
    """

    operator: torch._ops.OpOverload
    source: Path

    @property
    def files(self) -> list[Path]:
        """The source and all that it may include."""
        return [self.source, *sorted(Path(__file__).with_name("native").glob("*.hpp"))]

    @property
    def declaration(self) -> str:
        """The C function by AOTInductor's rules: the operator's arguments, then where its result goes."""
        schema = self.operator._schema
        arguments = [f"{_C_TYPES[str(each.type)]} {each.name}" for each in schema.arguments]
        name = schema.name.removeprefix(f"{LIBRARY}::")
        return f"AOTITorchError aoti_torch_cpu_{name}({', '.join(arguments)}, AtenTensorHandle* result)"


NATIVE_KERNELS: dict[torch._ops.OpOverload, NativeKernel] = {}
"""All kernels that have been defined, by their operator."""


def native_kernel(schema: str, source: Path) -> torch._ops.OpOverload:
    """Define the operator `schema`, "name(Tensor origins, ...) -> Tensor", compiled from `source`.

    For rays with origins [3, R] it gives [5, R]: sums along each of weighted colour, weight times depth, and
    weight.
    """

    def result(origins: Tensor, *_: object) -> Tensor:
        return origins.new_empty(5, origins.shape[1])

    name = schema.partition("(")[0]
    torch.library.define(f"{LIBRARY}::{name}", schema.removeprefix(name))
    torch.library.register_fake(f"{LIBRARY}::{name}", result)
    operator = getattr(getattr(torch.ops, LIBRARY), name).default
    NATIVE_KERNELS[operator] = NativeKernel(operator, source)
    return operator
