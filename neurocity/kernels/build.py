"""Compiles the kernels into libraries, one for each kind of processor: `python -m neurocity.kernels.build`.

It needs the standard library alone, since an installation runs it before anything else is there. The compiler
is `$CXX`, else `c++`, else that of the package `ziglang`.
"""

import argparse
import hashlib
import importlib.util
import os
import platform
import shlex
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

SOURCES = Path(__file__).parent / "cpp"
LIBRARIES = Path(__file__).parent / "lib"

PROCESSORS = {
    "x86_64": ("x86-64-v2", "x86-64-v3", "x86-64-v4"),
    "amd64": ("x86-64-v2", "x86-64-v3", "x86-64-v4"),
    "aarch64": ("armv8-a",),
    "arm64": ("armv8-a",),
}
"""Kinds of processors of a machine (as `platform.machine` calls it); each can do what those before it can."""

FLAGS = (
    "-std=c++17",
    "-O3",
    "-shared",
    "-fPIC",
    "-fvisibility=hidden",
    # One value for an expression, whatever the number of rays that are computed together: where products and
    # sums are fused, the source says so.
    "-ffp-contract=off",
    "-fno-math-errno",
    "-fno-trapping-math",
    # Vectors are passed within the library alone; GCC takes what its own intrinsics leave open for a mistake.
    "-Wno-psabi",
    "-Wno-uninitialized",
)
SANITIZERS = (
    "-Wall",
    "-Wextra",
    "-Werror",
    # See above; -Wall has them again.
    "-Wno-uninitialized",
    "-Wno-maybe-uninitialized",
    "-g",
    "-O1",
    "-fsanitize=address,undefined",
    "-fno-sanitize-recover=all",
)


class BuildError(RuntimeError):
    """No compiler, or one that failed."""


def processors() -> tuple[str, ...]:
    """The kinds of processors of this machine, the plainest first. Raises BuildError when it has none."""
    machine = platform.machine().lower()
    if machine not in PROCESSORS:
        raise BuildError(f"kernels: got a machine {machine!r}, known: {', '.join(sorted(PROCESSORS))}")
    return PROCESSORS[machine]


def library_file(processor: str) -> str:
    """Name of the library for a kind of processor."""
    return f"libneurocity-{processor}.so"


def source_digest() -> str:
    """SHA-256 (hex) of all sources and the flags: a library says which it was made of."""
    digest = hashlib.sha256(repr(FLAGS).encode())
    for source in sorted((*SOURCES.glob("*.cpp"), *SOURCES.glob("*.hpp"))):
        digest.update(source.name.encode() + b"\0" + source.read_bytes())
    return digest.hexdigest()


def find_compiler() -> list[str]:
    """The command of the C++ compiler. Raises BuildError when there is none."""
    if os.environ.get("CXX"):
        return shlex.split(os.environ["CXX"])
    if found := shutil.which("c++"):
        return [found]
    if importlib.util.find_spec("ziglang"):
        return [sys.executable, "-m", "ziglang", "c++"]
    raise BuildError(
        "kernels: there is no C++ compiler. Install one that is found as c++, name one in CXX, "
        "or install the package ziglang"
    )


def compile_library(processor: str, folder: Path, *, sanitize: bool = False) -> Path:
    """The library for a kind of processor, written into `folder`. Raises BuildError."""
    compiler = find_compiler()
    target = folder / library_file(processor)
    partial = target.with_name(f".{target.name}.{os.getpid()}")
    command = [*compiler, *FLAGS, f"-march={processor}", f'-DNEUROCITY_SOURCES="{source_digest()}"']
    if "ziglang" in compiler:
        command[command.index(f"-march={processor}")] = f"-march={processor.replace('-', '_')}"
    else:
        command += ["-static-libgcc", "-static-libstdc++"] if not sanitize else SANITIZERS
    sources = [str(source) for source in sorted(SOURCES.glob("*.cpp"))]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        run = subprocess.run(
            [*command, *sources, "-o", str(partial)], capture_output=True, text=True, check=False
        )
        if run.returncode:
            raise BuildError(f"kernels: {' '.join(compiler)} failed for {processor}:\n{run.stderr.strip()}")
        partial.replace(target)
    except OSError as error:
        raise BuildError(f"kernels: {' '.join(compiler)} cannot be run for {target}: {error}") from error
    finally:
        partial.unlink(missing_ok=True)
    return target


def build(folder: Path = LIBRARIES) -> list[Path]:
    """The libraries for all kinds of processors of this machine; those of the same sources stay.

    Raises BuildError.
    """

    def current(processor: str) -> Path:
        target = folder / library_file(processor)
        if target.is_file() and source_digest().encode() in target.read_bytes():
            return target
        return compile_library(processor, folder)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(current, processors()))


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.partition(":")[0] + ".")
    parser.add_argument("--out", type=Path, default=LIBRARIES, help="folder of the libraries")
    parser.add_argument(
        "--sanitize",
        metavar="PROCESSOR",
        choices=[kind for kinds in PROCESSORS.values() for kind in kinds],
        help="build one library that checks addresses and undefined behaviour",
    )
    arguments = parser.parse_args()
    try:
        if arguments.sanitize:
            paths = [compile_library(arguments.sanitize, arguments.out, sanitize=True)]
        else:
            paths = build(arguments.out)
    except BuildError as error:
        sys.exit(str(error))
    print("\n".join(map(str, paths)))


if __name__ == "__main__":
    main()
