"""The C++ of a graph's kernels, compiled for the package that AOTInductor makes of the graph."""

import hashlib
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch._inductor.cpp_builder import get_compiler_version_info, get_cpp_compiler
from torch._inductor.runtime.cache_dir_utils import cache_dir

from export.torch_archive.kernel_graph import LIBRARY
from neurocity.errors import ExportError
from neurocity.kernels import build

_OPERATOR, _POOL = map(Path(__file__).with_name, ("kernel_operator.cpp", "thread_pool.hpp"))
_INCLUDES = (build.SOURCES, Path(torch.__file__).parent / "include")


@contextmanager
def kernel_library(program: torch.export.ExportedProgram, processor: str) -> Iterator[dict[str, Any]]:
    """Inside, the options given back let AOTInductor link what the operators of `program` call.

    They are objects in the folder that torch keeps what it compiled in, for a processor as the compiler calls
    it. Raises ExportError where the compiler fails.
    """
    targets = {node.target for node in program.graph.nodes if isinstance(node.target, torch._ops.OpOverload)}
    operators = sorted((each for each in targets if each.namespace == LIBRARY), key=str)
    folder = Path(cache_dir(), "neurocity")
    objects = [_compiled(operator, folder, processor) for operator in operators]
    options = {
        "aot_inductor.custom_ops_to_c_shims": {each: [declaration(each)] for each in operators},
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


def declaration(operator: torch._ops.OpOverload) -> str:
    """The C function of an operator by AOTInductor's rules; `kernel_operator.cpp` defines it."""
    handles, results = ("AtenTensorHandle",) * 3, ("AtenTensorHandle*",) * 3
    lists = "const int64_t*", "int64_t", "const AtenTensorHandle*", "int64_t"
    return f"AOTITorchError {_function(operator)}({', '.join((*handles, *lists, *results))})"


def _function(operator: torch._ops.OpOverload) -> str:
    return f"aoti_torch_cpu_{operator._opname}"


def _compiled(operator: torch._ops.OpOverload, folder: Path, processor: str) -> Path:
    kind = operator._opname.removeprefix("render_")
    flags = [
        # Those of the library, so that a package gives a ray the same bits.
        *build.FLAGS,
        f"-march={processor}",
        "-fopenmp",
        "-c",
        # Packages that are loaded side by side keep their kernels to themselves.
        "-DNEUROCITY_EXPORT=static",
        "-Wno-unused-function",
        f'-DKERNEL_SOURCE="{kind}.cpp"',
        f"-DKERNEL=nc_render_{kind}",
        f"-DOPERATOR={_function(operator)}",
    ]
    compiler = get_cpp_compiler()
    parts = (
        build.source_digest(),
        *flags,
        *(source.read_text() for source in (_OPERATOR, _POOL)),
        get_compiler_version_info(compiler),
        torch.__version__,
    )
    path = folder / f"{kind}-{hashlib.sha256(repr(parts).encode()).hexdigest()[:32]}.o"
    if path.is_file():
        return path
    folder.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    includes = [f"-I{each}" for each in _INCLUDES]
    command = [compiler, *flags, *includes, str(_OPERATOR), "-o", str(partial)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    if run.returncode:
        raise ExportError(f"{compiler} failed for the kernel of {kind}:\n{run.stderr.strip()}")
    partial.replace(path)
    return path
