"""Where kernels for CUDA devices take the place of PyTorch's operators, in eval and in recorded graphs.

No GPU is needed: eager models are on one that is none (`pretend_gpu`), and compilers need none.
"""

import copy
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from cuda_rays import HERE
from family_models import deprecations_known, rays, tiny_model_of
from pretend_gpu import pretend_gpu
from test_rendering_hash_grid import grid_of, some_points
from torch import Tensor, nn

from neurocity.errors import ConfigError
from neurocity.rendering import cuda_kernels
from neurocity.rendering.cpu_kernels import without_kernels
from neurocity.rendering.graph_target import recording_for
from neurocity.rendering.render import RayRender

pytestmark = pytest.mark.skipif(HERE.type == "cuda", reason="kernels are compiled here, and not interpreted")


def some_rays() -> list[Tensor]:
    """Of a picture and along axes."""
    return [part[::9] for part in rays()]


def on_pretended_gpu(model: nn.Module) -> RayRender:
    """What the model gives there for `some_rays`, in numbers of its own type."""
    dtype = next(model.parameters()).dtype
    with pretend_gpu():
        placed = [part.to(dtype).to("cuda") for part in some_rays()]
        light: RayRender = copy.deepcopy(model).to("cuda")(*placed)
        assert all(part.is_cuda for part in light)
    return light


@pytest.mark.parametrize("name", ["svraster", "instant_ngp"])
def test_eval_on_cuda_is_by_kernels_and_equal(name: str) -> None:
    model = tiny_model_of(name, False)
    with without_kernels(), torch.no_grad():
        expected = model(*some_rays())
    with torch.no_grad():
        got = on_pretended_gpu(model)
    for part, wanted in zip(got, expected, strict=True):
        torch.testing.assert_close(part, wanted, atol=5e-6, rtol=0)


@pytest.fixture
def forgotten() -> Iterator[None]:
    """What the environment says is read anew, before and after."""
    cuda_kernels._wanted.cache_clear()
    yield
    cuda_kernels._wanted.cache_clear()


@pytest.mark.usefixtures("forgotten")
@pytest.mark.parametrize(
    "way",
    [
        "a gradient is recorded",
        "training",
        "the thread",
        "the process",
        "no triton",
        "no compiler",
        "float64",
    ],
)
def test_what_turns_kernels_off(
    way: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Then it is the definition that renders, bit for bit; kernels, which are not there, would fail."""
    monkeypatch.setitem(sys.modules, "neurocity.cuda_kernels.voxels", None)
    model = tiny_model_of("svraster", False)
    with without_kernels(), torch.no_grad():
        expected = model(*some_rays())
    with torch.no_grad(), pytest.raises(ImportError):
        on_pretended_gpu(model)
    cuda_kernels._wanted.cache_clear()
    if way == "the process":
        monkeypatch.setenv(cuda_kernels.VARIABLE, "off")
    elif way == "no triton":
        monkeypatch.setattr(cuda_kernels, "find_spec", lambda _: None)
    elif way == "no compiler":
        monkeypatch.setattr(cuda_kernels, "find_spec", lambda _: "there")
        monkeypatch.setattr(shutil, "which", lambda _: None)
        for name in ("CC", "TRITON_INTERPRET"):
            monkeypatch.delenv(name, raising=False)
    if way == "training":
        model = copy.deepcopy(model).train()
    elif way == "float64":
        model = copy.deepcopy(model).double()
    caplog.clear()
    with torch.set_grad_enabled(way == "a gradient is recorded"):
        if way == "the thread":
            with without_kernels():
                got = on_pretended_gpu(model)
        else:
            got = on_pretended_gpu(model)
    for part, wanted in zip(got, expected, strict=True):
        if way == "float64":
            torch.testing.assert_close(part, wanted.to(part.dtype), atol=1e-4, rtol=1e-4)
        else:
            assert torch.equal(part, wanted)
    needs = {"no triton": "need the package triton;", "no compiler": "need a C compiler: gcc or clang"}
    said = [record.getMessage() for record in caplog.records if record.name == cuda_kernels.__name__]
    assert len(said) == (way in needs)
    assert all(needs[way] in message for message in said)


@pytest.mark.parametrize("doubled", ["points", "table"])
def test_a_hash_grid_of_float64_is_the_definition_s(doubled: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda_kernels, "DEVICE", "cpu")
    monkeypatch.setitem(sys.modules, "neurocity.cuda_kernels.hash_grid", None)
    grid, points = grid_of(levels=2).requires_grad_(False).eval(), some_points(9)
    if doubled == "points":
        grid, points = grid.double(), points.double()
    else:
        grid.table.data = grid.table.double()
    with torch.no_grad():
        assert torch.equal(grid(points), grid.encode(points))


@pytest.mark.usefixtures("forgotten")
def test_another_word_in_the_environment_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(cuda_kernels.VARIABLE, "no")
    with (
        torch.no_grad(),
        pytest.raises(ConfigError, match="NEUROCITY_CUDA_KERNELS: got 'no', expected one of on, off"),
    ):
        on_pretended_gpu(tiny_model_of("svraster", False))


class Named(nn.Module):
    """The render of a model as a plain tuple."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.model(*inputs))


def recorded(
    model: nn.Module, inputs: list[Tensor], target: str, axis: int = 0
) -> torch.export.ExportedProgram:
    """The graph of a model with any number of rays or points."""
    axes = (tuple({axis: torch.export.Dim("count", min=2, max=2**20)} for _ in inputs),)
    with torch.no_grad(), recording_for(target):
        return torch.export.export(Named(model), tuple(inputs), dynamic_shapes=axes)


def kernels_of(program: torch.export.ExportedProgram) -> list[str]:
    """The kernels that a graph calls."""
    names = [str(node.target) for node in program.graph.nodes if node.op == "call_function"]
    return [name.removeprefix("neurocity_cuda.") for name in names if name.startswith("neurocity_cuda.")]


@pytest.mark.parametrize(
    ("name", "kernels"),
    [
        ("svraster", ["sum_voxels.default"]),
        pytest.param(
            "instant_ngp",
            ["count_samples.default", "place_samples.default"] + 2 * ["encode_hash_grid.default"],
            marks=pytest.mark.slow,
        ),
    ],
)
def test_graphs_for_compilers_call_kernels(
    name: str, kernels: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With other numbers of rays than they were recorded with, and as many samples as these have."""
    monkeypatch.setattr(cuda_kernels, "DEVICE", "cpu")
    model = tiny_model_of(name, False)
    program = recorded(model, [part[:11] for part in rays()], "compiler")
    assert kernels_of(program) == kernels
    with torch.no_grad():
        got, expected = program.module()(*some_rays()), model(*some_rays())
    for part, wanted in zip(got, expected, strict=True):
        torch.testing.assert_close(part, wanted, atol=1e-5, rtol=0)


class Plain(nn.Module):
    """A module's result in a tuple of one."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, inputs: Tensor) -> tuple[Tensor]:
        return (self.module(inputs),)


def test_no_other_recording_calls_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """They would not run in ONNX's runtimes, TensorRT or TorchScript."""
    monkeypatch.setattr(cuda_kernels, "DEVICE", "cpu")
    grid = grid_of(levels=2).requires_grad_(False).eval()
    points = some_points(9)
    found = {
        target: kernels_of(recorded(Plain(grid), [points], target, 1))
        for target in ("compiler", "nodes", "tensorrt")
    }
    assert found == {"compiler": ["encode_hash_grid.default"], "nodes": [], "tensorrt": []}
    with torch.no_grad():
        with deprecations_known():
            scripted, traced = torch.jit.script(grid), torch.jit.trace(grid, points)
        for graph in (scripted.inlined_graph, traced.inlined_graph):
            assert "neurocity_cuda" not in str(graph)
        np.testing.assert_array_equal(scripted(points), grid.encode(points))


_COMPILE = """
import tempfile
from pathlib import Path
import torch
import triton
from torch._higher_order_ops.triton_kernel_wrap import identify_accessed_tensors
from torch._inductor.codegen.wrapper import user_defined_triton_kernel_transitive_closure_source_code
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from neurocity.cuda_kernels import hash_grid, march, voxels

TARGET = GPUTarget("cuda", 80, 32)

class Driver:
    get_current_target = staticmethod(lambda: TARGET)

triton.runtime.driver.set_active(Driver())
ints, floats = torch.zeros(8, dtype=torch.int32), torch.zeros(8)
longs, halves = torch.zeros(8, dtype=torch.int64), torch.zeros(8, dtype=torch.float16)
TYPES = {torch.float32: "*fp32", torch.float16: "*fp16", torch.int32: "*i32", torch.int64: "*i64"}
TYPES |= {int: "i32", float: "fp32"}
WALK = [*[floats] * 2, ints, floats, ints, floats]
NUMBERS = [5, *[1.0] * 6]
GRID = [floats, 5, 2, 256, 1]
SPACE, MARCH = [floats] * 8, [5, 7, *[1.0] * 4, 40]
FOLLOW, COUNT = [*SPACE, longs, *[floats] * 3, longs, *MARCH], [*SPACE, *[longs] * 5, *MARCH]
PLACED = {"places", "depths", "deltas", "ray_index"}
CALLS = [
    (voxels.walk, [*WALK, *[floats] * 3, *NUMBERS], (15, 2, 32), {"summed"}),
    (voxels.walk, [*WALK, halves, halves, floats, *NUMBERS], (0, 1, 32), {"summed"}),
    (hash_grid.encode, [*[floats] * 3, longs, *GRID], (True, 2, 128), {"encoded"}),
    (hash_grid.encode, [floats, halves, floats, ints, *GRID], (False, 4, 128), {"encoded"}),
    (march.follow, FOLLOW, (8, 1, False, 32), PLACED),
    (march.follow, FOLLOW, (8, 0, False, 32), PLACED),
    (march.follow, COUNT, (8, 1, True, 32), {"offsets"}),
    (march.follow, COUNT, (8, 0, True, 32), {"offsets"}),
]
for kernel, values, constants, written in CALLS:
    arguments = dict(zip(kernel.arg_names, [*values, *constants], strict=True))
    accessed = identify_accessed_tensors(kernel, arguments, {})
    assert {each.name for each in accessed.read_writes.writes} == written, accessed
    # What a package is made of: the kernel's source and that of what it calls, alone.
    source = "import triton\\nimport triton.language as tl\\n\\n@triton.jit\\n"
    source += user_defined_triton_kernel_transitive_closure_source_code(kernel)
    path = Path(tempfile.mkdtemp(), "kernel.py")
    path.write_text(source)
    alone = {"__name__": "kernel"}
    exec(compile(source, path, "exec"), alone)
    names = kernel.arg_names
    signature = {n: TYPES.get(getattr(v, "dtype", type(v))) for n, v in zip(names, values)}
    signature |= dict.fromkeys(names[len(values):], "constexpr")
    own = alone[kernel.__name__]
    made = triton.compile(
        ASTSource(own, signature, dict(zip(names[len(values):], constants))),
        target=TARGET,
        options={"num_warps": 4 if own.__name__ == "encode" else 1},
    )
    print(own.__name__, len(made.asm["cubin"]))
"""


@pytest.mark.slow
def test_kernels_compile_for_a_gpu_alone(tmp_path: pytest.TempPathFactory) -> None:
    """For compute capability 8.0, of the sources that AOTInductor packs, which reads what they write."""
    environment = {**os.environ, "TRITON_CACHE_DIR": str(tmp_path)}
    environment.pop("TRITON_INTERPRET", None)
    run = subprocess.run(
        [sys.executable, "-c", _COMPILE], capture_output=True, text=True, env=environment, check=False
    )
    assert run.returncode == 0, run.stderr
    assert "Encountered an exception" not in run.stderr, run.stderr
    assert [line.split()[0] for line in run.stdout.splitlines()] == [
        *["walk"] * 2,
        *["encode"] * 2,
        *["follow"] * 4,
    ]
