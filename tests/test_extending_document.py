"""What docs/extending.md shows is what tests add to the registries, and its family takes every command."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import test_every_engine

REPOSITORY = Path(__file__).parents[1]
DOCUMENT = (REPOSITORY / "docs" / "extending.md").read_text()
TOYS = Path(__file__).with_name("toys")
SHOWN = {
    "neurocity/dense_grid/core.py": TOYS / "dense_grid" / "core.py",
    "neurocity/dense_grid/lightning_trainer.py": TOYS / "dense_grid" / "lightning_trainer.py",
    "export/formats/toy.py": TOYS / "formats" / "toy.py",
    "serving/engines/toy_engine.py": TOYS / "engines" / "toy_engine.py",
}
"""The file that the document names -> the file of the tests that stands for it."""
LINE = '        Family("dense_grid", "DenseGrid"),\n'


@pytest.mark.parametrize("name", SHOWN)
def test_the_code_that_is_shown_is_what_is_tested(name):
    (code,) = re.findall(rf"^`{name}`\n\n```python\n(.*?)^```", DOCUMENT, re.S | re.M)
    assert code == SHOWN[name].read_text()


def test_the_lines_that_are_shown_are_what_is_tested():
    for line in (LINE, test_every_engine.TOY_ENTRY):
        assert f"```\n{line}```" in DOCUMENT


@pytest.fixture(scope="module")
def extended(tmp_path_factory) -> Path:
    """A folder whose `neurocity` has the family of the document: its folder, and its line in the registry."""
    root = tmp_path_factory.mktemp("extended")
    package = root / "neurocity"
    package.mkdir()
    for entry in (REPOSITORY / "neurocity").iterdir():
        if entry.name not in ("families.py", "__pycache__"):
            (package / entry.name).symlink_to(entry)
    (root / "export").symlink_to(REPOSITORY / "export")
    shutil.copytree(TOYS / "dense_grid", package / "dense_grid", ignore=shutil.ignore_patterns("__pycache__"))
    registry = (REPOSITORY / "neurocity" / "families.py").read_text()
    head, first, rest = registry.partition('        Family("grid_nerf"')
    assert first
    (package / "families.py").write_text(head + LINE + first + rest)
    return root


def run(words: list[str], extended: Path, folder: Path) -> str:
    """What a command prints that runs with the extended package."""
    program = {
        "neurocity": ["-c", "import sys; from neurocity.cli import main; sys.exit(main())"],
        "neurocity-export": ["-c", "import sys; from export.cli import main; sys.exit(main())"],
        "pytest": ["-m", "pytest", "-p", "no:cacheprovider", "-p", "no:xdist", "-q"],
    }[words[0]]
    path = [str(extended), str(REPOSITORY), str(Path(__file__).parent)]
    done = subprocess.run(
        [sys.executable, *program, *words[1:]],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, (words, done.stdout[-2000:], done.stderr[-2000:])
    return done.stdout


@pytest.mark.slow
def test_every_command_takes_the_family(extended, sphere, tmp_path):
    """The section's commands in their order, on fewer photographs and for fewer steps."""
    section = DOCUMENT.partition("## A model family")[2].partition("\n## ")[0]
    (block,) = re.findall(r"^```sh\n(.*?)^```", section, re.S | re.M)
    commands = [shlex.split(line) for line in block.splitlines()]
    assert [words[0] for words in commands] == ["neurocity", "neurocity", "neurocity-export", "pytest"]
    (tmp_path / "photos").symlink_to(sphere)
    train, evaluate, export, suite = commands
    run([*train[:-2], "--max-steps", "40"], extended, tmp_path)
    assert '"psnr"' in run(evaluate, extended, tmp_path)
    run([*export, "--rays-per-call", "512", "--profile-seconds", "0"], extended, tmp_path)
    assert (tmp_path / "model_repository" / "photos_torchscript" / "1" / "model.pt").is_file()
    (tests,) = (word for word in suite if word.startswith("tests/"))
    path = f"pythonpath={extended} {REPOSITORY}"
    options = ["-c", str(REPOSITORY / "pyproject.toml"), "-o", path, "--rootdir", str(REPOSITORY)]
    printed = run(["pytest", *options, str(REPOSITORY / tests), *suite[2:]], extended, tmp_path)
    assert int(re.search(r"(\d+) passed", printed)[1]) >= 12
