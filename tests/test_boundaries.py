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
    assert own(loaded) <= {"neurocity", "neurocity.errors", "neurocity.contract", "neurocity.contract_checks"}


@pytest.mark.parametrize("module", ["neurocity.lenses", "neurocity.cameras"])
def test_cameras_load_numpy_alone(module):
    loaded = loaded_by(module)
    # Beside itself, numpy leaves what Cython writes into sys.modules.
    assert third_parties(loaded) == third_parties(loaded_by("numpy"))
    assert own(loaded) <= {
        "neurocity",
        "neurocity.errors",
        "neurocity.contract",
        "neurocity.contract_checks",
        "neurocity.lenses",
        "neurocity.poses",
        "neurocity.cameras",
    }


def test_camera_paths_load_numpy_alone():
    loaded = loaded_by("neurocity.camera_path.read")
    assert third_parties(loaded) == third_parties(loaded_by("numpy"))
    assert own(loaded) & TRAINING == set()


def test_pictures_load_numpy_and_pillow_alone():
    loaded = loaded_by("neurocity.pictures.encode")
    assert third_parties(loaded) <= third_parties(loaded_by("numpy", "PIL.Image"))
    assert not {name for name in own(loaded) if name.startswith(("neurocity.kernels", "neurocity.rendering"))}


def test_commands_answer_usage_without_torch_and_tracing():
    loaded = loaded_by("neurocity.cli", "export.cli", "serving.cli")
    assert loaded & {"torch", "opentelemetry.sdk"} == set()


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


CONTRACTS = {
    "neurocity knows neither export nor serving": [
        ("neurocity/cameras.py", "export.job.job"),
    ],
    "export knows no serving": [
        ("export/repository/triton_config.py", "serving.errors"),
    ],
    "Lightning is imported in neurocity.training and lightning_trainer modules alone": [
        ("neurocity/rendering/views.py", "pytorch_lightning"),
    ],
    "an export format knows no other format": [
        ("export/formats/onnx.py", "export.formats.torchscript"),
    ],
    "a family knows no other family": [
        ("neurocity/svraster/shading.py", "neurocity.mip_nerf.cones"),
    ],
    "rendering knows no family": [
        ("neurocity/rendering/views.py", "neurocity.svraster.octree"),
    ],
    "each part of neurocity knows only those below it": [
        ("neurocity/errors.py", "neurocity.contract"),
        ("neurocity/lenses.py", "neurocity.cameras"),
        ("neurocity/light.py", "neurocity.pictures.encode"),
    ],
    "each part of neurocity.training knows only those below it": [
        ("neurocity/training/callbacks/progress.py", "neurocity.training.module"),
    ],
    "SVRaster's model knows nothing of its training, and no loop of another": [
        ("neurocity/svraster/core.py", "neurocity.svraster.training.losses"),
    ],
    "each part of neurocity.data knows only those below it": [
        ("neurocity/data/scene.py", "neurocity.data.datasets"),
    ],
    "each part of neurocity.city knows only those below it": [
        ("neurocity/city/ground.py", "neurocity.city.cutting"),
        ("neurocity/city/residency.py", "neurocity.city.renderer"),
    ],
    "a city is rendered from its files, without photographs and torch": [
        ("neurocity/city/composing.py", "neurocity.data.scene"),
    ],
    "serving reaches no torch and nothing that trains": [
        ("serving/render/cost.py", "torch"),
        ("serving/http/scenes.py", "neurocity.data.scene"),
    ],
    "serving takes what it shares from neurocity's foundation alone": [
        ("serving/render/cost.py", "neurocity.presets"),
        ("serving/engines/rays.py", "neurocity.rendering"),
    ],
    "each room of serving knows only those below it": [
        ("serving/engines/rays.py", "serving.render.limits"),
        ("serving/render/service.py", "serving.settings"),
        ("serving/render/service.py", "serving.videos.job"),
        ("serving/render/service.py", "serving.errors"),
        ("serving/scenes/scan.py", "serving.render.limits"),
        ("serving/engines/rays.py", "serving.scenes.version"),
        ("serving/settings.py", "serving.state"),
        ("serving/http/render.py", "serving.middleware.body"),
        ("serving/problem.py", "serving.http.problems"),
        ("serving/access/keys.py", "serving.settings"),
        ("serving/telemetry/metrics.py", "serving.state"),
        ("serving/middleware/draining.py", "serving.server.server"),
        ("serving/middleware/request_log.py", "serving.http.problems"),
        ("serving/state.py", "serving.http.render"),
        ("serving/app.py", "serving.tritonserver.server"),
    ],
    "each part of neurocity.camera_path knows only those below it": [
        ("neurocity/camera_path/path.py", "neurocity.camera_path.keyframes"),
        ("neurocity/camera_path/nerfstudio.py", "neurocity.camera_path.transforms"),
        ("neurocity/camera_path/splines.py", "neurocity.camera_path.quaternions"),
    ],
    "pixels are made without HTTP": [
        ("serving/render/cancel.py", "starlette"),
        ("serving/render/limits.py", "fastapi"),
        ("serving/videos/jobs.py", "starlette"),
        ("serving/engines/base.py", "uvicorn"),
    ],
    "the gateway knows the engine protocol and no engine": [
        ("serving/render/service.py", "serving.engines.onnxruntime_engine"),
        ("serving/videos/film.py", "serving.engines.native_engine"),
        ("serving/http/health.py", "serving.engines.rays"),
        ("serving/settings.py", "serving.engines.triton_engine"),
        ("serving/scenes/loaded.py", "serving.engines.rays"),
    ],
    "an engine knows no other engine": [
        ("serving/engines/torchscript_engine.py", "serving.engines.onnxruntime_engine"),
        ("serving/engines/onnxruntime_engine.py", "serving.engines.triton_models"),
    ],
    "each room of export knows only those below it": [
        ("export/parity/gate.py", "export.formats.registry"),
        ("export/parity/compare.py", "export.job.job"),
        ("export/format.py", "export.job.request"),
        ("export/formats/registry.py", "export.repository.publish"),
        ("export/repository/publish.py", "export.speed.profile"),
        ("export/onnx/gathers.py", "export.torch_archive.archive"),
        ("export/onnx/file.py", "export.tensorrt.preflight"),
        ("export/job/run.py", "export.commands.verify"),
        ("export/commands/verify.py", "export.cli"),
        ("export/renderer.py", "export.parity.rays"),
    ],
    "a format knows nothing of the proof but its limits": [
        ("export/formats/onnx.py", "export.parity.gate"),
        ("export/tensorrt/engine.py", "export.parity.rays"),
    ],
    "what formats share is reached through formats": [
        ("export/commands/capabilities.py", "export.tensorrt.library"),
        ("export/speed/measure.py", "export.onnx.file"),
        ("export/commands/inspect.py", "export.torch_archive.archive"),
    ],
    "the repository knows what a format is and no format": [
        ("export/repository/triton_config.py", "export.formats.onnx"),
    ],
}
"""Contract -> imports that break it: the file that has one, and what it imports."""


@pytest.fixture(scope="module")
def copied_packages(tmp_path_factory):
    """A copy of the packages, to be changed and changed back."""
    root = tmp_path_factory.mktemp("copy")
    for package in PACKAGES:
        ignored = shutil.ignore_patterns("__pycache__", "*.js")
        shutil.copytree(REPOSITORY / package, root / package, ignore=ignored)
    return root


@pytest.mark.parametrize("contract", CONTRACTS)
def test_the_contracts_can_fail(contract, import_cache, copied_packages):
    """import-linter names every import that breaks a contract, below the contract's name."""
    cases = CONTRACTS[contract]
    before = {file: (copied_packages / file).read_text() for file, _ in cases}
    try:
        for file, module in cases:
            with (copied_packages / file).open("a") as source:
                source.write(f"\nimport {module}\n")
        result = lint_imports(copied_packages, import_cache)
    finally:
        for file, text in before.items():
            (copied_packages / file).write_text(text)
    assert result.returncode == 1, result.stdout + result.stderr
    assert f"{contract} BROKEN" in result.stdout
    # Long lines are wrapped.
    told = " ".join(result.stdout.partition("Broken contracts")[2].partition(f"\n{contract}\n")[2].split())
    for file, module in cases:
        importer = file.removesuffix(".py").replace("/", ".")
        assert re.search(rf"{importer} -> {module}\b", told), (file, told)


def test_every_contract_is_shown_to_fail():
    assert {contract["name"] for contract in contracts()} == set(CONTRACTS)


def contracts():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    return project["tool"]["importlinter"]["contracts"]


def test_the_contracts_cover_every_family():
    lists = {contract["id"]: contract for contract in contracts()}
    folders = {f"neurocity.{family}" for family in FAMILIES}
    assert set(lists["families"]["modules"]) == folders
    assert set(lists["rendering"]["forbidden_modules"]) == folders


def test_every_engine_is_a_module_that_the_contract_covers():
    """The contract forbids `serving.engines.*` by pattern; a registered engine elsewhere would escape it."""
    assert all(entry.path.startswith("serving.engines.") for entry in ENGINES.values())
