"""docs/native.md names the arrays and the numbers that files have, of every kind."""

import re
from pathlib import Path

import numpy as np
import pytest
from fixtures_export import TINY_BOUNDS
from tiny_families import tiny_model

from neurocity.families import FAMILIES, find_family
from neurocity.family import NativeModel
from neurocity.kernels.file import DTYPES, LAYOUT
from neurocity.kernels.scene import SceneData

DOCUMENT = (Path(__file__).parents[1] / "docs" / "native.md").read_text()
NATIVE = [name for name, family in FAMILIES.items() if issubclass(family.model_class(), NativeModel)]
MARCHED = "`hash_field` and `plane_field`"


def section(kind: str) -> str:
    """The text under the kind's title; before it, for fields, what they have in common."""
    own = re.search(rf"^##+ `{kind}`:.*?(?=^##|\Z)", DOCUMENT, re.S | re.M)
    assert own is not None, kind
    common = re.search(rf"^## {MARCHED}.*?(?=^##)", DOCUMENT, re.S | re.M)
    assert common is not None
    return own[0] if kind == "voxels" else common[0] + own[0]


def named(kind: str) -> set[str]:
    """Every name in backticks of the section's tables and lists."""
    return set(re.findall(r"`([\w.]+)`", section(kind)))


def scene_data(family: str, *, unbounded: bool, **options: object) -> SceneData:
    config = tiny_model(family).for_scene(TINY_BOUNDS, unbounded)
    return find_family(family).model_class()(config, **options).eval().requires_grad_(False).scene_data()


@pytest.mark.parametrize("unbounded", [False, True])
@pytest.mark.parametrize("family", NATIVE)
def test_arrays_and_numbers_are_named(family, unbounded):
    data = scene_data(family, unbounded=unbounded)
    names = named(data.kind)
    arrays = {re.sub(r"\.\d+$", ".0", name) for name in data.tensors}
    of_the_other_set = {name for name in arrays if name.startswith("appearance.")}
    assert arrays - of_the_other_set - names == set()
    assert not of_the_other_set or "appearance.planes" in names
    assert set(data.settings) - names == set()


@pytest.mark.parametrize("family", NATIVE)
def test_types_and_axes_are_as_in_the_tables(family):
    data = scene_data(family, unbounded=True)
    rows = re.findall(r"^\| (`[^|]*) \| ([^|]*) \|", section(data.kind), re.M)
    described = {}
    for cell, types in rows:
        shape = re.search(r"\[([^\]]*)\]", cell)
        for name in re.findall(r"`([\w.]+)`", cell):
            described[name] = types, None if shape is None else shape[1].split(",")
    for name, array in data.tensors.items():
        first = re.sub(r"\.\d+$", ".0", name).replace("appearance.", "density.")
        types, axes = described[first]
        assert any(np.dtype(array.dtype) == DTYPES[dtype] for dtype in re.findall(r"[FIU]\d+", types)), name
        if axes is not None:
            assert len(axes) == array.ndim, name
            fixed = [
                (int(axis), size)
                for axis, size in zip(axes, array.shape, strict=True)
                if axis.strip().isdigit()
            ]
            assert all(axis == size for axis, size in fixed), name


def test_the_layout_and_the_types_are_those_of_the_reader():
    assert f"`layout` ({LAYOUT};" in DOCUMENT
    rows = re.findall(r"^\| (`[FIU]\d+`[^|]*) \|", DOCUMENT, re.M)
    assert {name for row in rows for name in re.findall(r"`(\w+)`", row)} == set(DTYPES)
