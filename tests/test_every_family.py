"""What holds for every registered family: its parts, its presets, its render graph as `contract` has it."""

import ast
import copy
import inspect
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path

import onnxruntime
import pytest
import torch
from family_models import assert_equal_renders, defined, deprecations_known, model_of, rays, tiny_model_of

from neurocity.contract import RAY_DIRECTIONS, RAY_ORIGINS, RENDER_OUTPUTS
from neurocity.errors import ConfigError
from neurocity.families import FAMILIES, find_family
from neurocity.rendering.graph_target import recording_for

pytestmark = pytest.mark.parametrize("family", FAMILIES)


def test_the_registry_finds_its_parts(family: str) -> None:
    parts = find_family(family)
    assert parts.name == family
    assert issubclass(parts.model_class(), torch.nn.Module)
    for config in (parts.config_class(), parts.lightning_config_class()):
        assert is_dataclass(config)
        for preset in ("paper", "cpu"):
            made = config.preset(preset)
            assert config(**asdict(made)) == made, "a checkpoint carries it as plain data"
        with pytest.raises(ConfigError, match="expected one of"):
            config.preset("huge")
    assert parts.lightning_module_class().family == family
    assert {field.name for field in fields(parts.config_class())} >= {"scene_bounds"}


def test_mypy_checks_that_it_is_a_render_model(family: str) -> None:
    model = FAMILIES[family].model_class()
    (definition,) = (
        node
        for node in ast.parse(Path(inspect.getfile(model)).read_text()).body
        if isinstance(node, ast.ClassDef) and node.name == model.__name__
    )
    assert "render_model" in map(ast.unparse, definition.decorator_list)


def test_unknown_families_are_refused(family: str) -> None:
    with pytest.raises(ConfigError, match=f"'{family}s', expected one of .*{family}"):
        find_family(f"{family}s")


@pytest.mark.parametrize("unbounded", [False, True])
def test_renders_are_what_the_contract_says(family: str, unbounded: bool) -> None:
    origins, directions = rays()
    render = model_of(family, unbounded)(origins, directions)
    number = len(origins)
    assert render._fields == tuple(spec.name for spec in RENDER_OUTPUTS)
    for value, spec in zip(render, RENDER_OUTPUTS, strict=True):
        assert value.shape == (number, *spec.shape[1:]), spec.name
        assert value.dtype == torch.float32
        assert bool(value.isfinite().all())
    assert float(render.opacity.min()) >= 0.0
    assert float(render.opacity.max()) <= 1.0
    assert bool((render.rgb >= 0.0).all())
    assert bool((render.rgb <= render.opacity[:, None] + 1e-5).all())
    assert bool((render.depth >= 0.0).all())
    if unbounded:
        assert bool((render.opacity == 1.0).all()), "the sky is behind everything"
    else:
        assert all(not bool(value[-12:].any()) for value in render), "nothing is seen beside the box"
        assert float(render.opacity[:-12].mean()) > 0.3, "the field is empty, so nothing is tested"


@pytest.mark.parametrize("unbounded", [False, True])
def test_a_ray_does_not_depend_on_the_others(family: str, unbounded: bool) -> None:
    model, (origins, directions) = model_of(family, unbounded), rays()
    together = model(origins, directions)
    for size in (1, 2, 37):
        parts = [
            model(*part) for part in zip(origins[:74].split(size), directions[:74].split(size), strict=True)
        ]
        chunked = [torch.cat(planes) for planes in zip(*parts, strict=True)]
        assert_equal_renders(chunked, [value[:74] for value in together], 1e-6)
    order = torch.randperm(len(origins))
    shuffled = model(origins[order], directions[order])
    assert_equal_renders(shuffled, [value[order] for value in together], 1e-6)
    assert_equal_renders(model(origins, directions), together, 0.0)


def test_no_rays_give_no_light(family: str) -> None:
    render = model_of(family, False)(torch.zeros(0, 3), torch.zeros(0, 3))
    assert [tuple(value.shape) for value in render] == [(0, 3), (0,), (0,)]


@pytest.mark.parametrize("unbounded", [False, True])
def test_budgets_are_told(family: str, unbounded: bool) -> None:
    budget = model_of(family, unbounded).sample_budget()
    assert budget
    assert all(isinstance(value, float) and value > 0.0 for value in budget.values())


@pytest.mark.parametrize("unbounded", [False, True])
def test_it_survives_torchscript(family: str, unbounded: bool) -> None:
    model, (origins, directions) = model_of(family, unbounded), rays()
    expected = defined(model, origins, directions)
    with deprecations_known():
        scripted = torch.jit.script(model)
        traced = torch.jit.trace(model, (origins[:37], directions[:37]), check_trace=False)
    assert_equal_renders(scripted(origins, directions), expected)
    assert_equal_renders(traced(origins, directions), expected)


@pytest.mark.slow
def test_it_survives_onnx(family: str) -> None:
    """By way of `torch.export`, of which the exported program is run as well.

    In an unbounded scene, before a sky; `test_export_capabilities` exports the families in a bounded one.
    """
    model, (origins, directions) = tiny_model_of(family, True), rays()
    expected = defined(model, origins, directions)
    axis = torch.export.Dim("rays", min=1, max=1 << 20)
    with deprecations_known():
        exported = torch.export.export(
            model, (origins[:37], directions[:37]), dynamic_shapes=({0: axis}, {0: axis})
        )
        program = torch.onnx.export(exported, dynamo=True, opset_version=20, verify=False, verbose=False)
    assert_equal_renders(exported.module()(origins, directions), expected)
    assert program is not None
    session = onnxruntime.InferenceSession(
        program.model_proto.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    names = [entry.name for entry in session.get_inputs()]
    assert names == [RAY_ORIGINS, RAY_DIRECTIONS]
    for count in (1, 37, len(origins)):
        feed = dict(zip(names, (origins[:count].numpy(), directions[:count].numpy()), strict=True))
        outputs = [torch.from_numpy(value) for value in session.run(None, feed)]
        assert_equal_renders(outputs, [value[:count] for value in expected], 1e-4)


def test_what_a_compiler_gets_is_the_model(family: str) -> None:
    """No operator of ours is in the graph, which is run as it was recorded."""
    model, (origins, directions) = model_of(family, False), rays()
    some = torch.export.Dim("rays", min=1, max=65536)
    with deprecations_known(), recording_for("compiler"), torch.no_grad():
        program = torch.export.export(model, (origins, directions), dynamic_shapes=({0: some}, {0: some}))
    spaces = {node.target.namespace for node in program.graph.nodes if hasattr(node.target, "namespace")}
    assert spaces <= {"aten", "higher_order"}
    fewer = origins[:97], directions[:97]
    assert_equal_renders(program.module()(*fewer), model(*fewer), 1e-4)


def test_halved_it_is_nearly_the_same_in_every_runtime(family: str) -> None:
    model, (origins, directions) = model_of(family, False), rays()
    expected = model(origins, directions)
    halved = copy.deepcopy(model)
    halved.halve()
    assert {parameter.dtype for parameter in halved.parameters()} >= {torch.float16}
    render = halved(origins, directions)
    for name, got in render._asdict().items():
        assert got.dtype == torch.float32, name
        assert got.isfinite().all(), name
    # Random fields are rougher than trained ones.
    assert float((render.rgb - expected.rgb).abs().median()) < 2e-3
    assert float((render.opacity - expected.opacity).abs().median()) < 2e-3
    assert not torch.equal(render.rgb, expected.rgb)
    with deprecations_known():
        scripted = torch.jit.script(halved)
    assert float((scripted(origins, directions).rgb - render.rgb).abs().median()) < 2e-3
