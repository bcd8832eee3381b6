"""`neurocity-export --capabilities` tells the truth: every pair is exported, and refused where it says so."""

import json
import sys
from dataclasses import replace
from typing import Any

import pytest
import torch
from fixtures_export import TINY_BOUNDS, export_tiny, tiny_checkpoint
from tiny_families import tiny_model

from export.cli import main
from export.commands.capabilities import Capability, capabilities
from export.formats.registry import format_names, get_format
from export.formats.torchscript import TorchScriptFormat
from export.job.outcome import Outcome
from export.parity.rays import view_rays
from export.parity.tolerances import FP32
from neurocity.families import FAMILIES, find_family
from neurocity.rendering.marched_field import TERMINATION_ROUNDS, MarchedField


def _checkpoint(family: str) -> Any:
    """A tiny model of the family with random weights, as training would start with.

    Fields are marched in two rounds, not three: a third is more of the same, and a third of the graph.
    """
    torch.manual_seed(0)
    config = tiny_model(family).for_scene(TINY_BOUNDS, False)
    model = find_family(family).model_class()(config)
    if isinstance(model, MarchedField):
        model.termination_rounds = (8, TERMINATION_ROUNDS[-1])
    return tiny_checkpoint(family=family, model=model.eval().requires_grad_(False), model_config=config)


def _capability(found: tuple[Capability, ...], *key: str) -> Capability:
    (one,) = [item for item in found if (item.family, item.format, item.precision) == key]
    return one


def _outcome(capability: Capability, out: Any) -> Outcome:
    """What an export really comes to."""
    checkpoint = _checkpoint(capability.family)
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


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("format_name", format_names())
@pytest.mark.parametrize("family", FAMILIES)
def test_the_table_is_true(family, format_name, precision, tmp_path):
    capability = _capability(capabilities(), family, format_name, precision)
    outcome = _outcome(capability, tmp_path)
    assert _row(capability, outcome) == capability
    if outcome.manifest is None:
        return
    parity = outcome.manifest.parity
    if get_format(format_name).file_name == "model.onnx" and precision == "fp32":
        figures = [*parity["views"], *parity["rays"]]
        assert max(found[name] for found in figures for name in ("rgb", "depth", "opacity")) <= 1e-4
    if format_name == "tensorrt":
        assert outcome.manifest.engine["bytes"] > 100_000, "it holds kernels, or what they are compiled from"


@pytest.mark.parametrize("family", FAMILIES)
def test_there_is_something_to_see_in_what_is_exported(family):
    checkpoint = _checkpoint(family)
    for view in checkpoint.info.views:
        render = checkpoint.model(*map(torch.from_numpy, view_rays(view).arrays()))
        assert 0.1 < float(render.opacity.mean()) < 0.98
        assert float(render.rgb.std()) > 0.05


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
    *table, _, note = capsys.readouterr().out.splitlines()
    assert max(map(len, table)) <= 80
    _, heading, _, *lines, _ = table
    assert [cell.strip() for cell in heading.split("┃")[1:-1]] == ["format", *FAMILIES]
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in lines]
    refused = {"onnx_tensorrt fp16": "no (1)", "torchscript fp16": "no (2)"}
    assert rows == [
        [(row := f"{name} {precision}"), *[refused.get(row, "yes")] * len(FAMILIES)]
        for name in format_names()
        for precision in ("fp32", "fp16")
    ]
    assert note.startswith("(2) torchscript in fp16 is not offered")


def test_the_table_is_printed_as_json(monkeypatch, capsys):
    _no_row(monkeypatch)
    assert main(["--capabilities", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    refused = {(row["format"], row["precision"]) for row in rows if row["exit_code"] == 4}
    assert refused == {("onnx_tensorrt", "fp16"), ("torchscript", "fp16")}
    assert all(row["offered"] == (row["reason"] == "") for row in rows)
    assert main(["capabilities", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == rows
