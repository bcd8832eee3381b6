"""The rules between the fields of a request, as JSON Schema has them; `RenderOptions` keeps them in Python.

What it cannot say is left out: that `far` is greater than `near`, and width x height.
"""

from collections.abc import Sequence
from typing import Any

from neurocity.pictures.options import IMAGE_FORMATS, LOSSY_FORMATS, NUMBER_FORMATS

Schema = dict[str, Any]


def given(field: str) -> Schema:
    """That the field has a value that is not null."""
    return {"properties": {field: {"not": {"type": "null"}}}, "required": [field]}


def not_given(field: str) -> Schema:
    """That the field is absent or null."""
    return {"properties": {field: {"type": "null"}}}


def among(field: str, values: Sequence[str], default: str) -> Schema:
    """That the field, which has a default, is one of the values."""
    rule: Schema = {"properties": {field: {"enum": list(values)}}}
    return rule if default in values else rule | {"required": [field]}


def any_of(*rules: Schema) -> Schema:
    """That one rule at least is kept."""
    return {"anyOf": list(rules)}


def all_of(*rules: Schema) -> Schema:
    """That every rule is kept."""
    return {"allOf": list(rules)}


_IS_DEPTH = among("output", ["depth"], "rgb")

PICTURE_RULES = all_of(
    any_of(not_given("quality"), among("format", LOSSY_FORMATS, "png")),
    any_of(not_given("colormap"), all_of(_IS_DEPTH, among("format", IMAGE_FORMATS, "png"))),
    any_of(not_given("near"), given("colormap")),
    any_of(not_given("far"), given("colormap")),
    any_of(not_given("axes"), among("output", ["normal"], "rgb")),
    any_of(
        {"properties": {"background": {"const": "scene"}}}, among("format", [*IMAGE_FORMATS, "npy"], "png")
    ),
    any_of(
        among("output", ["rgb", "opacity", "normal"], "rgb"),
        among("format", ["png", *NUMBER_FORMATS], "png"),
        given("colormap"),
    ),
)

POSE_RULES: Schema = {
    "oneOf": [
        all_of(given(one), not_given(other))
        for one, other in (("intrinsics", "fov_y_degrees"), ("fov_y_degrees", "intrinsics"))
    ]
}
