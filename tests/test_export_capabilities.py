"""`neurocity-export --capabilities` tells the truth: every pair is exported, and refused where it says so."""

import copy
import json
import sys
from dataclasses import replace
from typing import Any

import onnx
import pytest
import torch
from family_models import tiny_model_of, tiny_module
from fixtures_export import OF_VOXELS, export_tiny, tiny_checkpoint
from onnx import TensorProto
from torch import nn

import export.onnx.trace
from export.cli import main
from export.commands.capabilities import Capability, capabilities
from export.formats.registry import format_names, get_format
from export.formats.torchscript import TorchScriptFormat
from export.job.outcome import Outcome
from export.parity.rays import view_rays
from export.parity.tolerances import FP32
from neurocity.contract import TensorSpec
from neurocity.families import FAMILIES

WITHOUT_KERNEL = ("mip_nerf", "native")
"""The family, and the format, that takes families with a kernel alone."""
WITHOUT_VOXELS = {(family, name) for family in FAMILIES if family != "svraster" for name in OF_VOXELS}
"""The families, and the formats, that take voxels alone."""
HALVED_AT_NIGHT = ("grid_nerf", "mip_nerf")
"""Families that are exported in half precision by night alone; one of voxels and one of a grid are by day."""


def _checkpoint(family: str, precision: str) -> Any:
    """A tiny model of the family: for float32 as training starts with it, in a bounded scene; for float16
    with `random_weights` in an unbounded one, before a sky."""
    model = tiny_module(family, False) if precision == "fp32" else tiny_model_of(family, True)
    return tiny_checkpoint(family=family, model=model, model_config=None)


@pytest.fixture(scope="module")
def traced() -> dict[tuple[str, ...], onnx.ModelProto]:
    """What was traced of a family in a precision with a fixed budget: formats of such graphs share it."""
    return {}


def _trace_once(
    monkeypatch: pytest.MonkeyPatch, traced: dict[tuple[str, ...], onnx.ModelProto], *key: str
) -> None:
    trace = export.onnx.trace.trace

    def once(model: nn.Module, inputs: tuple[TensorSpec, ...]) -> onnx.ModelProto:
        if key not in traced:
            traced[key] = trace(model, inputs)
        return copy.deepcopy(traced[key])

    monkeypatch.setattr(export.onnx.trace, "trace", once)


def _capability(found: tuple[Capability, ...], *key: str) -> Capability:
    (one,) = [item for item in found if (item.family, item.format, item.precision) == key]
    return one


def _outcome(capability: Capability, out: Any) -> Outcome:
    """What an export really comes to."""
    checkpoint = _checkpoint(capability.family, capability.precision)
    return export_tiny(out, capability.format, checkpoint=checkpoint, precision=capability.precision)


def _row(capability: Capability, outcome: Outcome) -> Capability:
    """The outcome as a row of the table."""
    return replace(capability, reason=outcome.error, exit_code=outcome.exit_code)


def test_the_table_has_every_family_format_and_precision():
    found = capabilities()
    assert [(item.family, item.format, item.precision) for item in found] == [
        (family, name, precision)
        for family in FAMILIES
        for name in format_names()
        for precision in ("fp32", "fp16")
    ]


def _pairs() -> list[Any]:
    """Each family in each format and precision."""
    return [
        pytest.param(
            family,
            name,
            precision,
            marks=[pytest.mark.nightly] if precision == "fp16" and family in HALVED_AT_NIGHT else [],
        )
        for family in FAMILIES
        for name in format_names()
        for precision in ("fp32", "fp16")
    ]


@pytest.mark.slow
@pytest.mark.parametrize(("family", "format_name", "precision"), _pairs())
def test_the_table_is_true(family, format_name, precision, tmp_path, traced, monkeypatch):
    capability = _capability(capabilities(), family, format_name, precision)
    if get_format(format_name).fixed_budget:
        _trace_once(monkeypatch, traced, family, precision)
    outcome = _outcome(capability, tmp_path)
    assert _row(capability, outcome) == capability
    if outcome.manifest is None:
        return
    parity = outcome.manifest.parity
    if get_format(format_name).file_name == "model.onnx" and precision == "fp32":
        figures = [*parity["views"], *parity["rays"]]
        assert max(found[name] for found in figures for name in ("rgb", "depth", "opacity")) <= 1e-4
    if get_format(format_name).file_name == "model.onnx" and precision == "fp16":
        (artefact,) = tmp_path.rglob("model.onnx")
        assert TensorProto.FLOAT16 in {each.data_type for each in onnx.load(artefact).graph.initializer}
    if format_name == "tensorrt":
        assert outcome.manifest.engine["bytes"] > 100_000, "it holds kernels, or what they are compiled from"


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("family", FAMILIES)
def test_there_is_something_to_see_in_what_is_exported(family, precision):
    checkpoint = _checkpoint(family, precision)
    for view in checkpoint.info.views:
        render = checkpoint.model(*map(torch.from_numpy, view_rays(view).arrays()))
        assert precision == "fp16" or 0.1 < float(render.opacity.mean()) < 0.98
        assert float(render.rgb.std()) > (0.05 if precision == "fp32" else 0.02)


def _no_python_like_this(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("export.formats.torchscript.LAST_PYTHON", (3, 0))


def _no_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TorchScriptFormat, "tolerances", {"fp32": FP32})


def _no_package(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("export.formats.onnx", "export.onnx.file", "neurocity.onnx_session"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)


@pytest.mark.parametrize(
    ("change", "refused", "code", "reason"),
    [
        (_no_python_like_this, ("torchscript", "fp32"), 4, "does not support TorchScript on Python 3.1"),
        (_no_row, ("torchscript", "fp16"), 4, "torchscript in fp16 is not offered, known: "),
        (_no_package, ("onnx", "fp32"), 5, "format 'onnx' needs the package 'onnxruntime', which is not"),
    ],
)
def test_what_is_refused_is_refused_with_the_reason_of_the_table(
    monkeypatch, tmp_path, change, refused, code, reason
):
    change(monkeypatch)
    capability = _capability(capabilities(), "instant_ngp", *refused)
    assert not capability.offered
    assert (capability.exit_code, reason in capability.reason) == (code, True)
    assert _row(capability, _outcome(capability, tmp_path)) == capability
    assert list(tmp_path.iterdir()) == []


def test_the_table_is_printed(monkeypatch, capsys):
    """And can be read in 80 columns: nothing is cut, nothing goes on in the next line."""
    monkeypatch.setenv("COLUMNS", "80")
    _no_row(monkeypatch)
    assert main(["--capabilities"]) == 0
    *table, _, of_splats, of_precision, of_voxels, of_family, _, _ = capsys.readouterr().out.splitlines()
    assert max(map(len, table)) <= 80
    _, heading, _, *lines, _ = table
    assert [cell.strip() for cell in heading.split("┃")[1:-1]] == ["format", *FAMILIES]
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in lines]
    by_row = {"onnx_tensorrt fp16": "no (1)", "torchscript fp16": "no (3)"}
    by_row |= {"splat fp16": "no (6)", "web fp16": "no (7)"}
    by_family = {pair: "no (2)" if pair[1] == "splat" else "no (4)" for pair in WITHOUT_VOXELS}
    by_family[WITHOUT_KERNEL] = "no (5)"
    assert rows == [
        [
            (row := f"{name} {precision}"),
            *[by_family.get((family, name), by_row.get(row, "yes")) for family in FAMILIES],
        ]
        for name in format_names()
        for precision in ("fp32", "fp16")
    ]
    assert of_splats.startswith("(2) splat cannot express this model: it has no voxels")
    assert of_precision.startswith("(3) torchscript in fp16 is not offered")
    assert of_voxels.startswith("(4) web cannot express this model: it has no voxels")
    assert of_family.startswith("(5) native cannot express this model: no kernel renders a MipNeRF")


def test_the_table_is_printed_as_json(monkeypatch, capsys):
    _no_row(monkeypatch)
    assert main(["--capabilities", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    refused = {(row["family"], row["format"], row["precision"]) for row in rows if row["exit_code"] == 4}
    half = {(family, name, "fp16") for family in FAMILIES for name in ("onnx_tensorrt", "torchscript")}
    half |= {("svraster", name, "fp16") for name in OF_VOXELS}
    assert refused == half | {
        (*pair, precision) for pair in (WITHOUT_KERNEL, *WITHOUT_VOXELS) for precision in ("fp32", "fp16")
    }
    assert all(row["offered"] == (row["reason"] == "") for row in rows)
    assert main(["capabilities", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == rows
