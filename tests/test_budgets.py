"""Growth is refused here: sizes of files and functions, homes for everything, options of the commands.

Who needs a larger budget or a new option argues for it in the change that raises it.
"""

import ast
import os
import re
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
PACKAGES = ("neurocity", "export", "serving")
MAX_LINES = 400
MAX_MEDIAN_LINES = 150
MAX_PARAMETERS = 8
HOMELESS = {"common", "helper", "helpers", "misc", "tools", "util", "utils"}
"""Names that say nothing of what is inside."""

OPTIONS = {
    "neurocity train": {
        "--bounds",
        "--config",
        "--data",
        "--device",
        "--devices",
        "--downscale",
        "--early-stopping-patience",
        "--exposure",
        "--logger",
        "--max-minutes",
        "--max-steps",
        "--missing",
        "--num-nodes",
        "--out",
        "--precision",
        "--preset",
        "--resume",
        "--seed",
        "--set",
        "--steps-per-epoch",
        "--strategy",
        "--unbounded",
    },
    "neurocity data": {"--bounds", "--downscale", "--json", "--missing", "--picture", "--unbounded"},
    "neurocity evaluate": {"--data", "--device", "--downscale", "--missing"},
    "neurocity render": {
        "--camera",
        "--camera-path",
        "--colormap",
        "--depth",
        "--device",
        "--far",
        "--fps",
        "--height",
        "--near",
        "--ngp-offset",
        "--ngp-scale",
        "--out",
        "--output",
        "--quality",
        "--seconds",
        "--view",
        "--width",
    },
    "neurocity demo-data": {
        "--altitude",
        "--blocks",
        "--cutout",
        "--drive",
        "--fov-degrees",
        "--height",
        "--held-out-every",
        "--overlap",
        "--overwrite",
        "--samples-per-axis",
        "--seed",
        "--sparse-points",
        "--street-share",
        "--sun-azimuth-degrees",
        "--sun-elevation-degrees",
        "--survey",
        "--views",
        "--width",
    },
    "neurocity city": set(),
    "neurocity city plan": {
        "--block-size",
        "--bounds",
        "--crs",
        "--data",
        "--few-views",
        "--margin",
        "--min-views",
        "--missing",
        "--out",
        "--overwrite",
    },
    "neurocity city train": {
        "--coarse-minutes",
        "--cpus",
        "--data",
        "--device",
        "--downscale",
        "--exposure",
        "--gpus",
        "--index",
        "--jobs",
        "--minutes",
        "--missing",
        "--only",
        "--overwrite",
        "--preset",
        "--ray-address",
        "--retries",
        "--runner",
        "--seed",
        "--set",
        "--steps",
    },
    "neurocity city cut": {"--block-size", "--out"},
    "neurocity-export": {
        "--bits",
        "--cameras",
        "--data",
        "--device",
        "--engine",
        "--fail-fast",
        "--force",
        "--formats",
        "--instances",
        "--json",
        "--name",
        "--out",
        "--precision",
        "--profile-seconds",
        "--rays-per-call",
        "--resume",
        "--samples",
        "--version",
    },
    "neurocity-serve": {
        "--api-key-file",
        "--api-keys",
        "--cache-bytes",
        "--cache-control",
        "--city-bytes",
        "--city-wait-seconds",
        "--concurrent-calls",
        "--cross-origin",
        "--device",
        "--drain-ready",
        "--drain-seconds",
        "--engine",
        "--host",
        "--keep-alive-seconds",
        "--live-idle-seconds",
        "--live-views",
        "--live-views-per-client",
        "--loaded-bytes",
        "--log-format",
        "--max-body-bytes",
        "--max-connections",
        "--max-pixels",
        "--max-side",
        "--max-video-body-bytes",
        "--max-video-pixels",
        "--max-videos",
        "--max-videos-per-client",
        "--memory-bytes",
        "--otlp-endpoint",
        "--poll-seconds",
        "--port",
        "--precision",
        "--queue-seconds",
        "--render-timeout-seconds",
        "--repository",
        "--repository-cache",
        "--repository-cache-bytes",
        "--request-timeout-seconds",
        "--root-path",
        "--signing-key-file",
        "--threads",
        "--triton-url",
        "--trusted-proxies",
        "--videos",
        "--videos-bytes",
        "--videos-hours",
    },
    "python -m serving.tritonserver": {
        "--device",
        "--grpc-port",
        "--host",
        "--http-port",
        "--metrics-port",
        "--model-control",
        "--ready-timeout-seconds",
        "--repository",
    },
}


def sources(*folders: str) -> list[Path]:
    """The Python files below these folders of the repository."""
    return sorted(file for folder in folders for file in (REPOSITORY / folder).rglob("*.py"))


def line_count(file: Path) -> int:
    return len(file.read_text().splitlines())


def too_long(files: list[Path]) -> dict[str, int]:
    """The files with more lines than `MAX_LINES`."""
    return {str(file): line_count(file) for file in files if line_count(file) > MAX_LINES}


def functions_with_many_parameters(file: Path) -> dict[str, int]:
    """The functions of a file with more parameters than `MAX_PARAMETERS`, `self` not counted.

    Kernels in OpenAI Triton are left out: they know no structures.
    """
    found = {}
    for node in ast.walk(ast.parse(file.read_text())):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if "triton.jit" in map(ast.unparse, node.decorator_list):
            continue
        listed = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        names = [argument.arg for argument in listed if argument.arg not in ("self", "cls")]
        if len(names) > MAX_PARAMETERS:
            found[f"{file}:{node.lineno} {node.name}"] = len(names)
    return found


def logic(file: Path) -> list[str]:
    """The statements of an `__init__.py` that are more than documentation and re-exports."""
    allowed = (ast.Import, ast.ImportFrom)
    return [
        ast.unparse(node)
        for node in ast.parse(file.read_text()).body
        if not isinstance(node, allowed)
        and not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
        and not (isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__")
    ]


def options(command: str) -> set[str]:
    """The options that the command's own help lists, without `--help`."""
    program, *arguments = command.split()
    words = [str(Path(sys.executable).with_name(program)), *arguments, "--help"]
    environment = {**os.environ, "COLUMNS": "80", "NO_COLOR": "1"}
    result = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return set(re.findall(r"^│ (--[a-z][a-z-]*)", result.stdout, re.MULTILINE))


def test_no_file_is_too_long():
    assert too_long(sources(*PACKAGES, "tests", "benchmarks")) == {}


@pytest.mark.parametrize("package", PACKAGES)
def test_files_are_short_in_the_median(package):
    counts = [line_count(file) for file in sources(package) if file.name != "__init__.py"]
    assert statistics.median(counts) < MAX_MEDIAN_LINES


def test_no_function_has_too_many_parameters():
    files = sources(*PACKAGES, "benchmarks")
    assert [
        functions_with_many_parameters(file) for file in files if functions_with_many_parameters(file)
    ] == []


def test_no_file_is_a_drawer():
    assert [str(file) for file in sources(*PACKAGES, "tests", "benchmarks") if file.stem in HOMELESS] == []


def test_packages_hold_no_logic():
    found = {str(file): logic(file) for file in sources(*PACKAGES) if file.name == "__init__.py"}
    assert {file: statements for file, statements in found.items() if statements} == {}


@pytest.mark.parametrize("command", OPTIONS)
def test_commands_have_the_options_that_were_agreed(command):
    found = options(command)
    assert found - OPTIONS[command] == set(), "new options"
    assert OPTIONS[command] - found == set(), "options that are gone"


def test_neurocity_has_the_commands_that_were_agreed():
    result = subprocess.run(
        [str(Path(sys.executable).with_name("neurocity")), "--help"],
        env={**os.environ, "COLUMNS": "80", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    (listed,) = re.findall(r"\{([a-z,-]+)\}", result.stdout.partition("\n")[0])
    assert {f"neurocity {name}" for name in listed.split(",")} == {
        " ".join(command.split()[:2]) for command in OPTIONS if command.startswith("neurocity ")
    }


def test_the_budgets_can_be_overrun(tmp_path):
    file = tmp_path / "__init__.py"
    file.write_text("'''A package.'''\nfrom a import b\n__all__ = ['b']\n" + "x = 1\n" * MAX_LINES)
    assert too_long([file]) == {str(file): MAX_LINES + 3}
    assert logic(file) == ["x = 1"] * MAX_LINES
    many = "a, b, c, d, e, f, g, h"
    file.write_text(f"class A:\n    def f(self, {many}): ...\n    def g(self, {many}, *, i): ...\n")
    assert functions_with_many_parameters(file) == {f"{file}:3 g": 9}
