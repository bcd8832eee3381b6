"""The library of kernels: how it is built, found, called in parts on threads, and stopped."""

import ctypes
import importlib
import pkgutil
import re
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from waiting import PATIENCE

from neurocity import kernels
from neurocity.errors import EngineError, MissingDependencyError
from neurocity.kernels import build, library, work
from neurocity.kernels.hash_grid import HashGridArguments
from neurocity.kernels.occupancy import JumpArguments, find_jumps
from neurocity.kernels.rays import address
from neurocity.kernels.voxel_training import VoxelTape

C_TYPES = {
    "float": ctypes.c_float,
    "double": ctypes.c_double,
    "int32_t": ctypes.c_int32,
    "int64_t": ctypes.c_int64,
}
X86_64_V4 = {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}
ON_THREADS = """
import os
import numpy as np
from neurocity.kernels.march import MarchSpace, march
from neurocity.kernels.rays import address

jump, edges = np.full(8, -1, np.float32), np.zeros(2, np.float32)
box = (0, 0, 0), (1, 1, 1), (0.5, 0.5, 0.5)
space = MarchSpace(address(jump), address(edges), 2, 1, 0, *box, 0.01, 1.0, 0.0, 1.0)
origins = np.tile(np.float32([0.2, 0.3, -1.0]), (1000, 1))
directions = np.tile(np.float32([0.0, 0.0, 1.0]), (1000, 1))

def samples():
    return len(march(origins, directions, np.zeros(1000, np.float32), space, threads=2).t)

before = samples()
child = os.fork()
if not child:
    os._exit(samples() != before)
status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
print(before, status)
"""


def structures() -> list[type[ctypes.Structure]]:
    """Every ctypes structure of `neurocity.kernels`."""
    modules = [
        importlib.import_module(found.name)
        for found in pkgutil.iter_modules(kernels.__path__, "neurocity.kernels.")
    ]
    return [
        value
        for module in modules
        for value in vars(module).values()
        if isinstance(value, type)
        and issubclass(value, ctypes.Structure)
        and value.__module__ == module.__name__
    ]


def fields_in_source(name: str) -> list[tuple[str, str, int]]:
    """Name, type and length (0: no array) of the fields of a C++ structure; pointers have type "*"."""
    sources = "".join(file.read_text() for file in sorted(build.SOURCES.iterdir()))
    body = re.search(rf"struct {name} \{{(.*?)\n\}};", sources, re.DOTALL)
    assert body, f"there is no structure {name} in {build.SOURCES}"
    fields = []
    plain = re.sub(r"//[^\n]*|^ [^\n]*\(.*", "", body[1], flags=re.MULTILINE)  # no comments, no methods
    for declaration in plain.split(";"):
        if not declaration.strip():
            continue
        kind, declarators = re.fullmatch(r"(?:const )?(\w+)\b(.*)", declaration.strip(), re.DOTALL).groups()
        for declarator in declarators.split(","):
            star, field, _, length = re.fullmatch(
                r"\s*(\*?)\s*(?:const )?(\w+)\s*(\[(\d+)\])?", declarator
            ).groups()
            fields.append((field, "*" if star else kind, int(length or 0)))
    return fields


def ctype_of(kind: str, length: int) -> object:
    if kind == "*":
        return ctypes.c_void_p
    found = C_TYPES.get(kind) or next(
        each for each in structures() if f"`{kind}` of cpp/" in (each.__doc__ or "")
    )
    return found * length if length else found


@pytest.mark.parametrize("structure", structures(), ids=lambda each: each.__name__)
def test_a_structure_has_the_fields_of_its_twin(structure: type[ctypes.Structure]) -> None:
    name, file = re.match(r"`(\w+)` of cpp/([\w.]+\w)", structure.__doc__ or "").groups()
    assert f"struct {name} {{" in (build.SOURCES / file).read_text()
    expected = [(field, ctype_of(kind, length)) for field, kind, length in fields_in_source(name)]
    assert list(structure._fields_) == expected


def jumps(grid: int = 8) -> tuple[JumpArguments, np.ndarray, np.ndarray]:
    """A call of `nc_find_jumps`, whose parts all do the same, and its arrays."""
    occupied, jump = np.zeros(grid**3, np.bool_), np.zeros(grid**3, np.float32)
    return JumpArguments(address(occupied), address(jump), grid, 32), occupied, jump


def test_any_number_of_threads_takes_each_part_once() -> None:
    arguments, _, jump = jumps()
    for threads in (1, 2, 5):
        state = work.Work()
        assert work.call("nc_find_jumps", arguments, 40, threads=threads, work=state)
        assert state.parts == 40
        assert state.next >= 40
    assert bool((jump == 31.0).all())


def test_no_parts_are_done_at_once() -> None:
    arguments, _, jump = jumps()
    assert work.call("nc_find_jumps", arguments, 0, threads=2)
    assert not jump.any()


@pytest.mark.parametrize("threads", [1, 2])
def test_another_thread_stops_a_call(threads: int) -> None:
    arguments, *arrays = jumps()
    state = work.Work()
    timer = threading.Timer(0.05, setattr, (state, "stop", 1))
    timer.start()
    assert not work.call("nc_find_jumps", arguments, 2**40, threads=threads, work=state)
    assert 0 < state.next < 2**40
    assert len(arrays) == 2
    timer.join()


def test_a_call_that_was_stopped_before_does_nothing() -> None:
    arguments, _, jump = jumps()
    assert not work.call("nc_find_jumps", arguments, 1, threads=1, work=work.Work(stop=1))
    assert not jump.any()


@pytest.mark.parametrize("threads", [1, 2])
def test_a_failure_is_told(threads: int) -> None:
    with pytest.raises(EngineError, match="nc_encode_hash_grid: an argument is not what the kernel takes"):
        work.call("nc_encode_hash_grid", HashGridArguments(features=3), 8, threads=threads)


def test_more_than_any_memory_is_told() -> None:
    with pytest.raises(EngineError, match="no memory for 4611686018427387904 parts"):
        VoxelTape(2**62)


def test_memory_that_is_not_there_is_told() -> None:
    with pytest.raises(EngineError, match="nc_find_jumps: out of memory"):
        work.call("nc_find_jumps", JumpArguments(grid=100_000), 1, threads=1)


def test_a_forked_process_has_threads_of_its_own() -> None:
    result = subprocess.run(
        [sys.executable, "-c", ON_THREADS], capture_output=True, text=True, check=True, timeout=PATIENCE
    )
    assert result.stdout.split() == ["100000", "0"]


def test_a_call_that_is_interrupted_leaves_no_thread_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """What other threads still write to would be given back to the system, when an exception goes through."""
    begun, ended = threading.Event(), threading.Event()
    state = work.Work()

    def kernel(*_: object) -> int:
        if threading.current_thread() is threading.main_thread():
            assert begun.wait(PATIENCE)
            raise KeyboardInterrupt
        begun.set()
        while not state.stop:
            time.sleep(0.01)
        ended.set()
        return work.STOPPED

    monkeypatch.setattr(work, "function", lambda _: kernel)
    late = threading.Timer(2 * PATIENCE, setattr, (state, "stop", 1))
    late.start()
    with pytest.raises(KeyboardInterrupt):
        work.call("nc_find_jumps", JumpArguments(), 40, threads=2, work=state)
    late.cancel()
    assert ended.is_set()


def test_every_kind_of_processor_gives_the_same_jumps(monkeypatch: pytest.MonkeyPatch) -> None:
    occupied = np.random.default_rng(0).random(16**3) < 0.01
    kinds = build.processors()
    best = library.library().nc_processor()
    results = []
    for kind in (*kinds[: best + 1], str(build.LIBRARIES / build.library_file(kinds[0]))):
        monkeypatch.setenv(library.VARIABLE, kind)
        chosen = library.library.__wrapped__()
        assert Path(chosen._name).name in (build.library_file(kind), Path(kind).name)
        monkeypatch.setattr(work, "function", lambda name, of=chosen: getattr(of, name))
        results.append(find_jumps(occupied, 16, 32))
    assert all(np.array_equal(result, results[0]) for result in results)
    assert results[0].min() == -1.0 < results[0].max()


def test_a_library_that_was_not_built_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(library.VARIABLE, raising=False)
    monkeypatch.setattr(build, "LIBRARIES", tmp_path)
    with pytest.raises(
        MissingDependencyError, match=r"is not there; build .* `python -m neurocity.kernels.build`"
    ):
        library.library.__wrapped__()


def test_a_library_of_other_sources_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(library.VARIABLE, raising=False)
    monkeypatch.setattr(build, "source_digest", lambda: "another")
    with pytest.raises(MissingDependencyError, match="was built of other sources"):
        library.library.__wrapped__()


@pytest.mark.parametrize("content", [b"", b"\x7fELF", None], ids=["empty", "cut off", "another"])
def test_a_file_that_is_no_library_of_kernels_is_told(
    content: bytes | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.so"
    if content is None:
        shutil.copy(importlib.import_module("_ctypes").__file__, broken)
    else:
        broken.write_bytes(content)
    monkeypatch.setenv(library.VARIABLE, str(broken))
    with pytest.raises(MissingDependencyError, match=r"broken.so cannot be loaded \(.*; build the kernels"):
        library.library.__wrapped__()


@pytest.mark.skipif(not Path("/proc/cpuinfo").exists(), reason="Linux says there what a processor can do")
def test_a_processor_is_of_the_kind_that_it_says() -> None:
    """Whatever compiled the library: some compilers' own tests find nothing on every processor."""
    if not build.processors()[0].startswith("x86"):
        assert library.library().nc_processor() == 0
        return
    text = Path("/proc/cpuinfo").read_text()
    has = set(re.search(r"^flags\s*:(.*)", text, re.MULTILINE)[1].split())
    kind = 0
    for level in ({"avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe"}, X86_64_V4):
        if not level <= has:
            break
        kind += 1
    assert library.library().nc_processor() == kind


@pytest.mark.slow
def test_a_library_that_zig_compiled_knows_the_processor(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("ziglang")
    for name in ("processor.cpp", "work.hpp"):
        shutil.copy(build.SOURCES / name, tmp_path)
    expected = library.library().nc_processor()
    monkeypatch.setattr(build, "SOURCES", tmp_path)
    monkeypatch.setenv("CXX", f"{sys.executable} -m ziglang c++")
    built = build.compile_library(build.processors()[0], tmp_path / "lib")
    monkeypatch.setenv(library.VARIABLE, str(built))
    assert library.library.__wrapped__().nc_processor() == expected


def test_a_processor_that_no_library_is_for_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "_load", lambda _: SimpleNamespace(nc_processor=lambda: -1))
    with pytest.raises(MissingDependencyError, match="this processor is plainer than"):
        library.this_processor()


def test_processors_that_are_not_known_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(library.VARIABLE, "z80")
    with pytest.raises(MissingDependencyError, match=r"got 'z80', known here: .*, or a file"):
        library.library.__wrapped__()
    monkeypatch.setattr(build, "processors", lambda: ("x86-64-v2", "of tomorrow", "of next year", "later"))
    monkeypatch.setenv(library.VARIABLE, "later")
    with pytest.raises(MissingDependencyError, match="got 'later', this processor is of kind"):
        library.library.__wrapped__()
    monkeypatch.undo()
    monkeypatch.delenv(library.VARIABLE, raising=False)
    monkeypatch.setattr("platform.machine", lambda: "pdp11")
    with pytest.raises(MissingDependencyError, match="got a machine 'pdp11', known: aarch64"):
        library.library.__wrapped__()
    with pytest.raises(build.BuildError, match="got a machine 'pdp11', known: aarch64"):
        build.processors()


def test_a_compiler_that_is_missing_or_fails_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CXX", "false --loudly")
    assert build.find_compiler() == ["false", "--loudly"]
    with pytest.raises(build.BuildError, match="false --loudly failed for x86-64-v2"):
        build.compile_library("x86-64-v2", tmp_path)
    assert not list(tmp_path.iterdir()), "no part of a library is left"
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(build.BuildError, match="no-such-compiler cannot be run"):
        build.compile_library("x86-64-v2", tmp_path)
    monkeypatch.delenv("CXX")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name == "ziglang")
    assert build.find_compiler() == [sys.executable, "-m", "ziglang", "c++"]
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(build.BuildError, match="there is no C"):
        build.find_compiler()


def test_a_library_is_built_of_the_sources(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    sources, libraries = tmp_path / "cpp", tmp_path / "lib"
    sources.mkdir()
    for name in ("processor.cpp", "work.hpp"):  # these take no time to compile
        shutil.copy(build.SOURCES / name, sources)
    monkeypatch.setattr(build, "SOURCES", sources)
    built = build.compile_library(build.processors()[0], libraries)
    assert [file.name for file in libraries.iterdir()] == [built.name]
    monkeypatch.setenv(library.VARIABLE, str(built))
    assert library.library.__wrapped__()._name == str(built)
    (sources / "work.hpp").touch()
    (sources / ".work.hpp.swp").write_text("what an editor leaves")
    (sources / "notes").mkdir()
    assert library.library.__wrapped__(), "neither a newer date nor other files change anything"
    (sources / "work.hpp").write_text("")
    with pytest.raises(MissingDependencyError, match="was built of other sources"):
        library.library.__wrapped__()
