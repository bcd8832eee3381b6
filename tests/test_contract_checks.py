"""Numbers of a manifest that are no scene are found when it is read, and named."""

import json
import math

import analytic_scene
import pytest

from neurocity.contract import View, manifest_from_json, to_json
from neurocity.errors import ManifestError

IDENTITY = [[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]]
VIEW = {"name": "a", "camera_to_world": IDENTITY, "width": 4, "height": 3}
VIEW |= {"fl_x": 5.0, "fl_y": 5.0, "cx": 2.0, "cy": 1.5}


def manifest(**changes):
    """JSON data of a manifest with a view, where a path such as `info.up` has another value."""
    data = json.loads(to_json(analytic_scene.manifest("onnx", b"")))
    data["info"]["views"] = [json.loads(json.dumps(VIEW))]
    data["sample_budget"] = {"samples": 8.0}
    for path, value in changes.items():
        *parents, last = (int(part) if part.isdecimal() else part for part in path.split("."))
        target = data
        for parent in parents:
            target = target[parent]
        target[last] = value
    return json.dumps(data)


def test_a_right_one_is_read():
    assert manifest_from_json(manifest()).info.views[0].width == 4


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("info.up", [0.0, 0.0, 0.0], "info.up: got .*expected a vector of length 1"),
        ("info.up", [0.0, 0.0, 2.0], "length 1"),
        ("info.up", [0.0, math.nan, 1.0], "up: .*3 finite numbers"),
        ("info.bounds", [-1, -1, -1, 1, math.nan, 1], "bounds: .*6 finite numbers"),
        ("info.bounds", [-1, -1, -1, 1, math.inf, 1], "bounds: .*6 finite numbers"),
        ("info.bounds", [-1, -1, 1, 1, 1, -1], "x0 < x1"),
        ("info.background", [5.0, -1.0, 2.0], "background: .*three numbers in"),
        ("info.background", [math.nan, 0.0, 0.0], "background: .*finite"),
        ("info.origin", [math.inf, 0.0, 0.0], "origin: .*finite"),
        ("info.views.0.camera_to_world.1.2", math.nan, r"views\[0\].camera_to_world\[1\]: .*finite"),
        ("info.views.0.camera_to_world.0.0", 2.0, "axis 0: .*length 1"),
        ("info.views.0.camera_to_world.0.1", 1.0, "length 1|right angles"),
        ("info.views.0.camera_to_world", IDENTITY[:3], "got 3 rows, expected 4"),
        ("info.views.0.camera_to_world.3.3", 0.0, r"camera_to_world\[3\]: .*expected \[0, 0, 0, 1\]"),
        ("info.views.0.width", 0, r"views\[0\].width: got 0, expected a number of at least 1"),
        ("info.views.0.fl_y", 0.0, "fl_y: got 0.0, expected a number greater than 0"),
        ("info.views.0.fl_x", math.nan, "fl_x"),
        ("info.views.0.cx", math.inf, "cx, cy: .*finite"),
        ("version", 0, "version: got 0"),
        ("rays_per_call", 0, "rays_per_call: got 0"),
        ("artefact.bytes", -1, "bytes: got -1"),
        ("sample_budget.samples", math.nan, "sample_budget.samples"),
    ],
)
def test_a_wrong_number_is_named(path, value, message):
    with pytest.raises(ManifestError, match=message):
        manifest_from_json(manifest(**{path: value}))


def test_skewed_axes_of_unit_length_are_found():
    rows = [list(row) for row in IDENTITY]
    rows[0][1], rows[1][1] = math.sin(0.1), math.cos(0.1)
    with pytest.raises(ManifestError, match="axes 1 and 0 are not at right angles"):
        View(**{**VIEW, "camera_to_world": rows})
