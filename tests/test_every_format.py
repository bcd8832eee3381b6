"""What holds for every export format; a new file in `export/formats/` is tested by being there."""

import inspect
import json
import re
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from fixtures_export import FORMATS, TINY_BOUNDS, export_tiny, tiny_checkpoint
from fixtures_stages import start_stages_with
from tiny_field import TinyField, TinyFixedBudget
from torch import nn

import export.formats
from export.cli import main
from export.format import BuildsEngine
from export.formats.registry import format_names, get_format
from export.job.format_export import inspect_artefact
from export.job.job import Job
from export.job.manifest import embedded_manifest
from export.job.source import render_graph
from export.parity.rays import view_rays
from export.renderer import RayProfile
from neurocity.cameras import Rays
from neurocity.contract import (
    MANIFEST_FILE,
    SceneManifest,
    TensorSpec,
    manifest_from_json,
    ray_inputs,
    to_json,
)
from neurocity.errors import ManifestError, UnsupportedError
from neurocity.kernels.scene import SceneData
from neurocity.triton_names import by_contract_name

REPOSITORY_ROOT = Path(__file__).parents[1]


ALL = [*FORMATS, "toy"]
WEIGHTS_ALONE = {"native"}
"""Formats whose artefact holds no program, but the weights of a kind of scene that a kernel renders."""
PROGRAMS = sorted({*ALL} - WEIGHTS_ALONE)
TOY_FORMATS = Path(__file__).with_name("toys") / "formats"


def _written_anew(names: list[str]) -> pytest.MarkDecorator:
    """These formats, for a test that writes artefacts of its own: AOTInductor compiles C++ for long."""
    slow = {"aotinductor": pytest.mark.slow}
    params = [pytest.param(name, marks=slow.get(name, ())) for name in names]
    return pytest.mark.parametrize("target", params, indirect=True)


def _add_toy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Puts the folder with the file of the toy format beside those of the package."""
    monkeypatch.setattr(export.formats, "__path__", [*export.formats.__path__, str(TOY_FORMATS)])


@pytest.fixture(params=ALL)
def target(request, monkeypatch):
    if request.param == "toy":
        _add_toy(monkeypatch)
    return get_format(request.param)


@pytest.fixture(scope="module")
def toy_repository(tmp_path_factory) -> Path:
    """The tiny scene in the toy format, by the command."""
    folder = tmp_path_factory.mktemp("toy")
    (folder / "tiny.ckpt").write_bytes(b"stands for the tiny field")
    with pytest.MonkeyPatch.context() as monkeypatch:
        _add_toy(monkeypatch)
        start_stages_with(monkeypatch, folder, f"export.formats.__path__.append({str(TOY_FORMATS)!r})\n")
        command = [str(folder / "tiny.ckpt"), "--formats", "toy", "--out", str(folder / "models")]
        assert main([*command, "--rays-per-call", "2048", "--profile-seconds", "0"]) == 0
    return folder / "models"


@pytest.fixture
def artefact(request, target) -> Path:
    repository = request.getfixturevalue("toy_repository" if target.name == "toy" else "tiny_repository")
    return repository / f"tiny_{target.name}" / "1" / target.file_name


def _manifest(artefact: Path) -> SceneManifest:
    return manifest_from_json((artefact.parent / MANIFEST_FILE).read_text())


def _rays(count: int, seed: int = 0) -> Rays:
    generator = np.random.default_rng(seed)
    directions = generator.normal(size=(count, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    origins = generator.uniform(-0.5, 0.5, size=(count, 3)) - 2.5 * directions
    return Rays(origins.astype(np.float32), directions.astype(np.float32))


def test_formats_are_listed_without_loading_them():
    code = """
import sys
from export.formats.registry import format_names
print(format_names())
print({'torch', 'onnx'} & set(sys.modules))
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    names, loaded = run.stdout.splitlines()
    assert names == str(format_names())
    assert loaded == "set()"


def test_a_name_is_known_by_its_file(target):
    assert target.name in format_names()
    assert Path(inspect.getfile(type(target))).name == f"{target.name}.py"


def test_a_new_format_is_one_file(toy_repository, monkeypatch, capsys):
    """Every command takes it, and the table of what can be exported has it."""
    _add_toy(monkeypatch)
    version = toy_repository / "tiny_toy" / "1"
    assert main(["verify", str(version)]) == 0
    assert "tiny_toy version 1 on cpu is equal to its model" in capsys.readouterr().out
    assert main(["inspect", str(version / "model.toy"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["format"] == "toy"
    assert main(["--capabilities", "--json"]) == 0
    rows = [row for row in json.loads(capsys.readouterr().out) if row["format"] == "toy"]
    assert {row["precision"]: row["offered"] for row in rows} == {"fp32": True, "fp16": False}


@pytest.mark.parametrize("count", [1, 2, 37, 1009, 20_000])
def test_any_number_of_rays_renders_as_the_model_does(target, artefact, count: int):
    rays = _rays(count)
    got = target.open(artefact, "cpu")(rays)
    with torch.inference_mode():
        expected = TinyField(TINY_BOUNDS)(*map(torch.from_numpy, rays.arrays()))
    for a, b in zip(got, expected, strict=True):
        assert a.dtype == np.float32
        np.testing.assert_allclose(a, b.numpy(), atol=2e-6)
    assert got.opacity.max() > 0.2


def test_equal_models_give_equal_bytes(target, artefact):
    manifest = _manifest(artefact)
    checkpoint = tiny_checkpoint(sha256=manifest.checkpoint_sha256)
    job = Job(checkpoint=Path(), name="tiny", format=target.name, rays_per_call=manifest.rays_per_call)
    draft = embedded_manifest(checkpoint, job, target, manifest.sample_budget)
    samples = int(manifest.sample_budget["samples"]) if target.fixed_budget else None
    graph = render_graph(checkpoint.model, "fp32", samples)
    assert target.encode(graph, to_json(draft)) == artefact.read_bytes()


def test_the_manifest_inside_is_the_one_beside_without_hash_and_proof(target, artefact):
    inside, beside = manifest_from_json(target.read_manifest(artefact)), _manifest(artefact)
    assert inside.artefact.sha256 == ""
    assert inside.parity == {}
    assert inside.info == beside.info == tiny_checkpoint().info
    assert inside.checkpoint_sha256 == beside.checkpoint_sha256
    assert beside.format == target.name
    assert set(target.packages) <= set(beside.tools)


def test_an_artefact_tells_nothing_of_the_machine_that_made_it(artefact):
    content = artefact.read_bytes()
    if zipfile.is_zipfile(artefact):
        with zipfile.ZipFile(artefact) as archive:
            content += b"".join(map(archive.read, archive.namelist()))
    for place in (str(REPOSITORY_ROOT), sys.prefix, str(Path.home()), "site-packages"):
        assert place.encode() not in content, place


def test_the_file_passes_its_checks_and_another_manifest_does_not(target, artefact):
    manifest = manifest_from_json(target.read_manifest(artefact))
    _, checks = inspect_artefact(target, artefact, manifest)
    assert all(check.passed for check in checks)
    other = manifest_from_json(to_json(manifest).replace('"tiny"', '"huge"'))
    _, checks = inspect_artefact(target, artefact, other)
    assert [check.name for check in checks if not check.passed] == ["manifest inside"]


def _runs_alone(target) -> str:
    """What a stranger writes to run an artefact: the code in the docstring of the module that opens it."""
    lines = (sys.modules[type(target).open.__module__].__doc__ or "").splitlines()
    return "\n".join(line[4:] for line in lines if line.startswith("    "))


@pytest.mark.parametrize("target", PROGRAMS, indirect=True)
def test_an_artefact_opens_where_neurocity_is_not_installed(target, artefact, tmp_path):
    rays = _rays(11)
    np.savez(tmp_path / "rays.npz", ray_origins=rays.origins, ray_directions=rays.directions)
    code = f"""
import sys
for name in ("neurocity", "export", "serving", "tiny_field"):
    sys.modules[name] = None
import numpy as np
rays = np.load("rays.npz")
path, inputs = {str(artefact)!r}, dict(rays)
{_runs_alone(target)}
np.savez("outputs.npz", *[np.asarray(output) for output in outputs])
"""
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", code]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    expected = target.open(artefact, "cpu")(rays)
    with np.load(tmp_path / "outputs.npz") as outputs:
        # How many threads there are, which other tests change here, decides in which order sums are made.
        for got, wanted in zip(outputs.values(), expected, strict=True):
            np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-6)


def test_a_foreign_file_has_no_manifest(target, artefact, monkeypatch):
    reader = type(target).read_manifest.__module__
    monkeypatch.setattr(f"{reader}.MANIFEST_KEY", "another.key")
    with pytest.raises(ManifestError, match=r"no 'another.key'"):
        target.read_manifest(artefact)


class _Perturbed:
    """A format that writes another model than it is given."""

    def __init__(self, target, alter):
        self._target, self._alter = target, alter

    def __getattr__(self, name):
        return getattr(self._target, name)

    def encode(self, model: nn.Module, manifest_json: str, inputs: tuple[TensorSpec, ...]) -> bytes:
        return self._target.encode(self._alter(model), manifest_json, inputs)


class _Plain(nn.Module):
    """The least that is a render graph."""

    def __init__(self) -> None:
        super().__init__()
        self.eval()

    def forward(self, ray_origins: torch.Tensor, ray_directions: torch.Tensor):
        return ray_origins.sigmoid(), ray_origins.sum(1), ray_directions.sum(1).sigmoid()


class _RandomOfOtherOutputs(_Plain):
    def forward(self, ray_origins: torch.Tensor, ray_directions: torch.Tensor):
        return torch.rand_like(ray_origins), ray_origins[:, :1] + 1.0, ray_directions.sum(1).double()


class _Inexpressible(_Plain):
    """What torch.export records has no branches that depend on values, and TorchScript has no lambda."""

    def forward(self, ray_origins: torch.Tensor, ray_directions: torch.Tensor):
        identity = lambda x: x  # noqa: E731
        if bool((ray_origins > 0.0).all()):
            return ray_origins, ray_origins.sum(1), ray_directions.sum(1)
        return identity(ray_directions), ray_origins.sum(1), ray_directions.sum(1)


class _NoOperator(_Plain):
    """No ONNX operator computes cumprod."""

    def forward(self, ray_origins: torch.Tensor, ray_directions: torch.Tensor):
        return torch.cumprod(ray_origins, dim=1), ray_origins.sum(1), ray_directions.sum(1)


class _Cones(_Plain):
    """Takes radii, and half a unit without them."""

    def forward(
        self, ray_origins: torch.Tensor, ray_directions: torch.Tensor, ray_radii: torch.Tensor | None = None
    ):
        if ray_radii is None:
            ray_radii = torch.full_like(ray_origins[:, :1], 0.5)
        return (ray_origins * ray_radii).sigmoid(), ray_directions.sum(1), ray_radii[:, 0]

    @torch.jit.unused
    def scene_data(self) -> SceneData:
        """What `toy_kernels.ConesScene` renders."""
        return SceneData("cones", {}, {})


class _Baked(_Plain):
    def forward(self, ray_origins: torch.Tensor, ray_directions: torch.Tensor):
        offset = torch.zeros(3, device=torch.device("cpu"))
        return ray_origins + offset, ray_origins.sum(1), ray_directions.sum(1)


def _wrong_cell(model: nn.Module) -> nn.Module:
    changed = TinyField(TINY_BOUNDS)
    changed.occupied[4 * 64 + 4 * 8 + 4] = 0
    return changed.fixed_budget(model.samples) if isinstance(model, TinyFixedBudget) else changed


def _refusal(target, out: Path, monkeypatch: pytest.MonkeyPatch, alter) -> str:
    """Why nothing is shipped when another model is written than was given."""
    monkeypatch.setattr("export.job.run.get_format", lambda _name: _Perturbed(target, alter))
    outcome = export_tiny(out, target.name)
    assert outcome.error_kind == "ParityError"
    assert "nothing was shipped" in outcome.error
    assert list(out.iterdir()) == []
    return outcome.error


@_written_anew(ALL)
def test_an_artefact_of_another_model_is_not_shipped(target, tmp_path, monkeypatch):
    error = _refusal(target, tmp_path, monkeypatch, _wrong_cell)
    assert re.search(r"opacity error: got 0\.\d+, expected at most 0.002", error)


@_written_anew(PROGRAMS)
def test_a_program_that_may_not_be_is_not_shipped(target, tmp_path, monkeypatch):
    """All that is wrong with it is said at once."""
    told = _refusal(target, tmp_path, monkeypatch, lambda _model: _RandomOfOtherOutputs())
    for message in (
        r"random operators: got (RandomUniformLike|aten::rand_like|aoti_torch_\w+), expected none",
        r"output 1: got (\S+) float32 \['rays', 1\], expected \1 float32 \['rays'\]\n"
        r".*output 2: got (\S+) float64 \['rays'\], expected \2 float32 \['rays'\]",
    ):
        assert re.search(message, told), told


def test_a_flipped_weight_in_the_file_is_found(tmp_path, monkeypatch, tiny_repository):
    """Not the model but the bytes on disk are what is verified."""
    target = get_format("onnx")
    artefact = tiny_repository / "tiny_onnx" / "1" / target.file_name

    class Corrupted(_Perturbed):
        def encode(self, *_arguments: object) -> bytes:
            proto = onnx.load(artefact)
            weight = next(tensor for tensor in proto.graph.initializer if tensor.name == "hidden.weight")
            values = onnx.numpy_helper.to_array(weight).copy()
            values[2, 1] *= -1
            weight.CopyFrom(onnx.numpy_helper.from_array(values, weight.name))
            return proto.SerializeToString()

    monkeypatch.setattr("export.job.run.get_format", lambda _name: Corrupted(target, None))
    assert "psnr_db: got" in export_tiny(tmp_path, "onnx", rays_per_call=2048).error
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_a_format_cannot_express_is_refused_with_the_reason(target):
    reason = (
        r"cannot express this model: (?s:.*)(data-dependent|[lL]ambda|no kernel renders a _Inexpressible)"
    )
    with pytest.raises(UnsupportedError, match=reason):
        target.encode(_Inexpressible(), "{}")


@_written_anew(ALL)
def test_a_graph_of_cones_takes_their_radii(target, tmp_path):
    inputs = ray_inputs(needs_ray_radii=True)
    path = tmp_path / target.file_name
    path.write_bytes(target.encode(_Cones(), "{}", inputs))
    taken = target.signature(path).inputs
    assert [spec.shape for spec in taken] == [spec.shape for spec in inputs]
    assert list(by_contract_name([spec.name for spec in taken], inputs)) == [spec.name for spec in inputs]
    rays = replace(_rays(5), radii=np.linspace(0.1, 0.9, 5, dtype=np.float32)[:, None])
    rendered = target.open(path, "cpu")(rays)
    np.testing.assert_array_equal(rendered.opacity, rays.radii[:, 0])
    np.testing.assert_allclose(rendered.rgb, 1 / (1 + np.exp(-rays.origins * rays.radii)), atol=1e-6)
    if isinstance(target, BuildsEngine):
        assert target.build_engine(path, "tensorrt-rtx", RayProfile.for_calls(4)).record["bytes"] > 0


@pytest.mark.parametrize("name", ["onnx", "onnx_tensorrt", "tensorrt"])
def test_an_operator_that_onnx_lacks_is_told(name):
    with pytest.raises(UnsupportedError, match=r"ONNX cannot express this model: .*prod"):
        get_format(name).encode(_NoOperator(), "{}")


def test_a_device_baked_into_torchscript_is_found(tmp_path):
    target = get_format("torchscript")
    path = tmp_path / target.file_name
    path.write_bytes(target.encode(_Baked(), "{}"))
    failed = [check.name for check in target.inspect(path) if not check.passed]
    assert failed == ["fixed devices"]


def test_the_view_of_a_manifest_renders_the_scene(target, artefact):
    """What a gateway does: camera from the manifest, rays, artefact, picture."""
    (view, *_) = _manifest(artefact).info.views
    rendered = target.open(artefact, "cpu")(view_rays(view))
    opacity = rendered.opacity.reshape(view.height, view.width)
    assert opacity[view.height // 2, view.width // 2] > 0.5
    assert opacity[0, 0] < 0.1
