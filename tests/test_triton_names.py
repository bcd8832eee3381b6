"""Triton's names of tensors, in each form."""

import pytest

from neurocity.contract import RENDER_OUTPUTS, ray_inputs
from neurocity.triton_names import by_contract_name, index_in, input_name, output_name


@pytest.mark.parametrize("needs_ray_radii", [False, True])
@pytest.mark.parametrize("naming", ["plain", "numbered", "positional"])
def test_names_are_read_as_they_are_written(naming, needs_ray_radii):
    inputs = ray_inputs(needs_ray_radii)
    for specs, write in ((inputs, input_name), (RENDER_OUTPUTS, output_name)):
        names = {spec.name: write(naming, index, spec.name) for index, spec in enumerate(specs)}
        assert by_contract_name(reversed(names.values()), specs) == names


def test_forms():
    assert [output_name(form, 1, "depth") for form in ("plain", "numbered", "positional")] == [
        "depth",
        "depth__1",
        "OUTPUT__1",
    ]
    assert [input_name(form, 0, "ray_origins") for form in ("plain", "numbered", "positional")] == [
        "ray_origins",
        "ray_origins",
        "INPUT__0",
    ]


def test_other_tensors_are_left_out():
    assert by_contract_name(["weights", "OUTPUT__7", "rgb__0", "normal__1"], RENDER_OUTPUTS) == {
        "rgb": "rgb__0"
    }


@pytest.mark.parametrize(
    ("name", "index"), [("rgb", None), ("rgb__0", 0), ("OUTPUT__12", 12), ("rgb__x", None)]
)
def test_place_in_the_returned_tuple(name, index):
    assert index_in(name) == index
