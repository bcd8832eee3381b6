"""Import directions that must never exist, by contracts over the sources and by what a fresh process loads.

Every check is also run on something that violates it.
"""

import ast
import pkgutil
import re
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
    assert {
        "serving.app",
        "serving.cli",
        "serving.engines.triton_engine",
        "serving.engines.torchscript_engine",
    } <= modules
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
        ("neurocity/cameras.py", "import export.job.job", "neurocity knows neither export nor serving"),
        ("export/repository/triton_config.py", "import serving.errors", "export knows no serving"),
        (
            "neurocity/rendering/views.py",
            "import pytorch_lightning",
            "Lightning is imported in neurocity.training and lightning_trainer modules alone",
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
            "neurocity/training/callbacks/progress.py",
            "import neurocity.training.module",
            "each part of neurocity.training knows only those below it",
        ),
        (
            "neurocity/svraster/core.py",
            "import neurocity.svraster.training.losses",
            "SVRaster's model knows nothing of its training, and no loop of another",
        ),
        (
            "neurocity/data/scene.py",
            "import neurocity.data.datasets",
            "each part of neurocity.data knows only those below it",
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
    assert all(entry.path.startswith("serving.engines.") for entry in ENGINES.values())


@pytest.fixture(scope="module")
def copied_packages(tmp_path_factory):
    """A copy of the packages, to be changed in one file at a time."""
    root = tmp_path_factory.mktemp("copy")
    for package in PACKAGES:
        shutil.copytree(
            REPOSITORY / package, root / package, ignore=shutil.ignore_patterns("__pycache__", "*.js")
        )
    return root


SERVING_CONTRACTS = {
    "serving reaches no torch and nothing that trains": [
        ("render/images.py", "torch"),
        ("http/scenes.py", "neurocity.data.scene"),
    ],
    "serving takes what it shares from neurocity's foundation alone": [
        ("render/images.py", "neurocity.presets"),
        ("engines/rays.py", "neurocity.rendering"),
    ],
    "each room of serving knows only those below it": [
        ("engines/rays.py", "serving.render.options"),
        ("render/service.py", "serving.settings"),
        ("render/service.py", "serving.errors"),
        ("settings.py", "serving.state"),
        ("http/render.py", "serving.middleware.body_limit"),
        ("middleware/request_log.py", "serving.http.problems"),
        ("state.py", "serving.http.render"),
        ("app.py", "serving.tritonserver.server"),
    ],
    "pixels are made without HTTP": [
        ("render/cancel.py", "starlette.types"),
        ("render/options.py", "fastapi"),
        ("engines/base.py", "uvicorn"),
    ],
    "the gateway knows the engine protocol and no engine": [
        ("render/service.py", "serving.engines.onnxruntime_engine"),
        ("http/health.py", "serving.engines.rays"),
        ("settings.py", "serving.engines.triton_engine"),
    ],
    "an engine knows no other engine": [
        ("engines/torchscript_engine.py", "serving.engines.onnxruntime_engine"),
        ("engines/onnxruntime_engine.py", "serving.engines.triton_models"),
    ],
}
"""Contract -> imports that break it: the file of `serving` that has one, and what it imports."""


@pytest.mark.parametrize(
    ("contract", "file", "module"),
    [(contract, *case) for contract, cases in SERVING_CONTRACTS.items() for case in cases],
)
def test_the_contracts_of_serving_can_fail(contract, file, module, import_cache, copied_packages):
    source = copied_packages / "serving" / file
    before = source.read_text()
    source.write_text(f"{before}\nimport {module}\n")
    try:
        result = lint_imports(copied_packages, import_cache)
    finally:
        source.write_text(before)
    assert result.returncode == 1, result.stdout + result.stderr
    assert f"{contract} BROKEN" in result.stdout


def test_every_contract_of_serving_is_shown_to_fail():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    contracts = project["tool"]["importlinter"]["contracts"]
    ours = {item["name"] for item in contracts if item["id"].startswith(("serving", "engine"))}
    assert ours == set(SERVING_CONTRACTS)


EXPORT_CONTRACTS = {
    "each room of export knows only those below it": [
        ("parity/gate.py", "export.formats.registry"),
        ("parity/compare.py", "export.job.job"),
        ("format.py", "export.job.request"),
        ("formats/registry.py", "export.repository.publish"),
        ("repository/publish.py", "export.speed.profile"),
        ("onnx/gathers.py", "export.torch_archive.archive"),
        ("onnx/file.py", "export.tensorrt.preflight"),
        ("job/run.py", "export.commands.verify"),
        ("commands/verify.py", "export.cli"),
        ("renderer.py", "export.parity.rays"),
    ],
    "a format knows nothing of the proof but its limits": [
        ("formats/onnx.py", "export.parity.gate"),
        ("tensorrt/engine.py", "export.parity.rays"),
    ],
    "what formats share is reached through formats": [
        ("commands/capabilities.py", "export.tensorrt.library"),
        ("speed/measure.py", "export.onnx.file"),
        ("commands/inspect.py", "export.torch_archive.archive"),
    ],
    "the repository knows what a format is and no format": [
        ("repository/triton_config.py", "export.formats.onnx"),
    ],
}
"""Contract -> imports that break it: the file of `export` that has one, and what it imports."""


def test_the_contracts_of_export_can_fail(import_cache, tmp_path):
    """All at once: import-linter names every import that breaks a contract, below the contract's name."""
    for package in PACKAGES:
        shutil.copytree(
            REPOSITORY / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__", "*.js")
        )
    for cases in EXPORT_CONTRACTS.values():
        for file, module in cases:
            with (tmp_path / "export" / file).open("a") as source:
                source.write(f"\nimport {module}\n")
    result = lint_imports(tmp_path, import_cache)
    assert result.returncode == 1, result.stdout + result.stderr
    found = result.stdout.partition("Broken contracts")[2]
    for contract, cases in EXPORT_CONTRACTS.items():
        assert f"{contract} BROKEN" in result.stdout
        part = found.partition(f"\n{contract}\n")[2]
        for file, module in cases:
            importer = "export." + file.removesuffix(".py").replace("/", ".")
            assert re.search(rf"{importer} -> {module} \(l\.", part), (contract, file, part)
