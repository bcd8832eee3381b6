"""The C++ of a graph's native kernels, compiled for the package that AOTInductor makes of the graph."""

import hashlib
import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch._inductor.cpp_builder import CppBuilder, CppTorchDeviceOptions
from torch._inductor.cpu_vec_isa import pick_vec_isa

from neurocity.rendering.native_kernel import NATIVE_KERNELS, NativeKernel

_FLAGS = ("-fvisibility=hidden",)
"""Packages that are loaded side by side keep their kernels to themselves."""


@contextmanager
def native_library(program: torch.export.ExportedProgram, folder: Path) -> Iterator[dict[str, Any]]:
    """Inside, the options given back let AOTInductor link what the operators of `program` call.

    Objects are compiled into `folder`. Raises torch's CppCompileError where the compiler fails.
    """
    targets = {node.target for node in program.graph.nodes}
    kernels = [kernel for operator, kernel in NATIVE_KERNELS.items() if operator in targets]
    objects = [_compiled(kernel, folder) for kernel in kernels]
    options = {
        "aot_inductor.custom_ops_to_c_shims": {each.operator: [each.declaration] for each in kernels},
        "aot_inductor.custom_op_libs": [f":{each.name}" for each in objects],
    }
    before = os.environ.get("LIBRARY_PATH")  # where linkers look; AOTInductor has no option for it
    os.environ["LIBRARY_PATH"] = os.pathsep.join(filter(None, (str(folder), before)))
    try:
        yield options
    finally:
        del os.environ["LIBRARY_PATH"]
        if before is not None:
            os.environ["LIBRARY_PATH"] = before


def _compiled(kernel: NativeKernel, folder: Path) -> Path:
    # AOTInductor names what it links by its options, so that the object's name has to tell versions apart.
    parts = [each.read_bytes() for each in kernel.files] + [flag.encode() for flag in _FLAGS]
    version = hashlib.sha256(b"".join(parts)).hexdigest()[:16]
    options = CppTorchDeviceOptions(
        vec_isa=pick_vec_isa(), device_type="cpu", aot_mode=True, compile_only=True, extra_flags=_FLAGS
    )
    name = f"{kernel.source.stem}-{version}"
    CppBuilder(name, shlex.quote(str(kernel.source)), options, str(folder)).build()
    return folder / f"{name}.o"
