"""Import directions that must never exist, by contracts over the sources and by what a fresh process loads.

Every check is also run on something that violates it.
"""

import ast
import pkgutil
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

import serving
from neurocity.families import FAMILIES
from serving.engines.base import ENGINES

REPOSITORY = Path(__file__).parents[1]
PACKAGES = ("neurocity", "export", "serving")
LIGHTNING = {"lightning", "lightning_fabric", "pytorch_lightning"}
TRAINING = {
    "export",
    "torch",
    "neurocity.checkpoint",
    "neurocity.data",
    "neurocity.families",
    "neurocity.rendering",
    "neurocity.training",
    *LIGHTNING,
    *(f"neurocity.{family}" for family in FAMILIES),
}
"""What a serving process never loads."""


def loaded_by(*modules: str) -> set[str]:
    """The modules that a fresh interpreter has after importing these, without those that it starts with."""
    script = "import sys; before = set(sys.modules)\n"
    script += "".join(f"import {module}\n" for module in modules)
    script += "print(*sorted(set(sys.modules) - before))"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return set(result.stdout.split())


def third_parties(modules: Iterable[str]) -> set[str]:
    """The top-level packages among these modules that are neither Python's nor ours."""
    return {name.partition(".")[0] for name in modules} - sys.stdlib_module_names - set(PACKAGES)


def own(modules: Iterable[str]) -> set[str]:
    """The modules of this project among these."""
    return {name for name in modules if name.partition(".")[0] in PACKAGES}


def serving_modules() -> set[str]:
    """Every module of `serving` but those that do their work on import, as `python -m` wants them."""
    found = {module.name for module in pkgutil.walk_packages(serving.__path__, "serving.")}
    return {name for name in found if not name.endswith(".__main__")}


def test_serving_loads_no_torch_and_nothing_that_trains():
    modules = serving_modules()
    assert {"serving.app", "serving.cli", "serving.engines.triton", "serving.engines.torch"} <= modules
    assert loaded_by(*sorted(modules)) & TRAINING == set()


def test_the_check_of_loaded_modules_can_fail():
    assert {"torch", "neurocity.checkpoint"} <= loaded_by("neurocity.checkpoint") & TRAINING


@pytest.mark.parametrize("module", ["neurocity.errors", "neurocity.contract"])
def test_the_foundations_load_the_standard_library_alone(module):
    loaded = loaded_by(module)
    assert third_parties(loaded) == set()
    assert own(loaded) <= {"neurocity", "neurocity.errors", "neurocity.contract"}


@pytest.mark.parametrize("module", ["neurocity.lenses", "neurocity.cameras"])
def test_cameras_load_numpy_alone(module):
    loaded = loaded_by(module)
    # Beside itself, numpy leaves what Cython writes into sys.modules.
    assert third_parties(loaded) == third_parties(loaded_by("numpy"))
    assert own(loaded) <= {
        "neurocity",
        "neurocity.errors",
        "neurocity.contract",
        "neurocity.lenses",
        "neurocity.cameras",
    }


def test_commands_answer_usage_without_torch():
    assert "torch" not in loaded_by("neurocity.cli", "export.cli", "serving.cli")


def imports(file: Path) -> Iterator[str]:
    """The dotted names that a file imports, anywhere in it; `from a import b` counts as `a.b`."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def lightning_outside(root: Path) -> set[str]:
    """The files under `root` that import Lightning and are not the ones that may."""
    files = (file.relative_to(root) for package in PACKAGES for file in (root / package).rglob("*.py"))
    return {
        str(file)
        for file in files
        if file.parts[:2] != ("neurocity", "training")
        and file.name != "lightning_trainer.py"
        and any(name.partition(".")[0] in LIGHTNING for name in imports(root / file))
    }


def families_that_know_others(root: Path, families: Iterable[str]) -> set[tuple[str, str]]:
    """Pairs of a file of one family and the other family that it imports."""
    found = set()
    for family in families:
        others = [other for other in families if other != family]
        for file in (root / "neurocity" / family).rglob("*.py"):
            names = list(imports(file))
            for other in others:
                package = f"neurocity.{other}"
                if any(name == package or name.startswith(f"{package}.") for name in names):
                    found.add((str(file.relative_to(root)), other))
    return found


def test_lightning_stays_in_its_place():
    assert lightning_outside(REPOSITORY) == set()
    in_its_place = [
        file
        for file in (REPOSITORY / "neurocity").rglob("*.py")
        if any(name.partition(".")[0] in LIGHTNING for name in imports(file))
    ]
    assert in_its_place, "the check sees no Lightning at all"


def test_families_are_folders_that_do_not_know_each_other():
    assert FAMILIES
    for family in FAMILIES:
        assert (REPOSITORY / "neurocity" / family / "core.py").is_file()
    assert families_that_know_others(REPOSITORY, FAMILIES) == set()


def test_the_checks_of_sources_can_fail(tmp_path):
    family, other = tmp_path / "neurocity" / "one", tmp_path / "neurocity" / "other"
    for folder in (family, other):
        folder.mkdir(parents=True)
    (family / "core.py").write_text("def late():\n    from pytorch_lightning import Trainer\n")
    (family / "lightning_trainer.py").write_text("import pytorch_lightning as pl\n")
    (other / "core.py").write_text("from neurocity.one import core\nfrom neurocity.other.parts import x\n")
    assert lightning_outside(tmp_path) == {"neurocity/one/core.py"}
    assert families_that_know_others(tmp_path, ["one", "other"]) == {("neurocity/other/core.py", "one")}


def lint_imports(root: Path, cache: Path) -> subprocess.CompletedProcess[str]:
    """import-linter with the contracts of this repository on the packages under `root`."""
    command = Path(sys.executable).with_name("lint-imports")
    return subprocess.run(
        [command, "--no-logo", "--cache-dir", cache, "--config", REPOSITORY / "pyproject.toml"],
        cwd=root,
        env={"PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def import_cache(tmp_path_factory):
    return tmp_path_factory.mktemp("import-linter")


def test_the_contracts_are_kept(import_cache):
    result = lint_imports(REPOSITORY, import_cache)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "0 broken" in result.stdout


@pytest.mark.parametrize(
    ("file", "statement", "contract"),
    [
        ("neurocity/cameras.py", "import export.config", "neurocity knows neither export nor serving"),
        ("export/triton.py", "import serving.errors", "export knows no serving"),
        (
            "neurocity/rendering/views.py",
            "import pytorch_lightning",
            "Lightning is imported in neurocity.training and lightning_trainer modules alone",
        ),
        ("serving/images.py", "import torch", "serving reaches no torch and nothing that trains"),
        (
            "serving/scenes.py",
            "import neurocity.data.scene",
            "serving reaches no torch and nothing that trains",
        ),
        (
            "serving/renderer.py",
            "import serving.engines.onnxruntime",
            "the gateway knows the engine protocol and no engine",
        ),
        (
            "export/formats/onnx.py",
            "import export.formats.torchscript",
            "an export format knows no other format",
        ),
        ("neurocity/svraster/losses.py", "import neurocity.mip_nerf.cones", "a family knows no other family"),
        ("neurocity/rendering/views.py", "import neurocity.svraster.octree", "rendering knows no family"),
        (
            "neurocity/errors.py",
            "import neurocity.contract",
            "each part of neurocity knows only those below it",
        ),
        (
            "neurocity/lenses.py",
            "import neurocity.cameras",
            "each part of neurocity knows only those below it",
        ),
    ],
)
def test_the_contracts_can_fail(file, statement, contract, import_cache, tmp_path):
    for package in PACKAGES:
        shutil.copytree(
            REPOSITORY / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__", "*.js")
        )
    with (tmp_path / file).open("a") as source:
        source.write(f"\n{statement}\n")
    result = lint_imports(tmp_path, import_cache)
    assert result.returncode == 1, result.stdout + result.stderr
    assert f"{contract} BROKEN" in result.stdout


def test_the_contracts_cover_every_family():
    contracts = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["importlinter"][
        "contracts"
    ]
    lists = {contract["id"]: contract for contract in contracts}
    folders = {f"neurocity.{family}" for family in FAMILIES}
    assert set(lists["families"]["modules"]) == folders
    assert set(lists["rendering"]["forbidden_modules"]) == folders


def test_every_engine_is_a_module_that_the_contract_covers():
    """The contract forbids `serving.engines.*` by pattern; a registered engine elsewhere would escape it."""
    assert all(entry.startswith("serving.engines.") for entry in ENGINES.values())
