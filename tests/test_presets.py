"""Configurations that have presets, and what every model's is told of its scene."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import pytest

from neurocity.errors import ConfigError
from neurocity.presets import Presets
from neurocity.rendering.field_config import FieldConfig


@dataclass(frozen=True, kw_only=True)
class Tuned(Presets):
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"paper": {}, "cpu": {"width": 8}}
    width: int = 256
    depth: int = 4
    share: float = 0.5
    mode: Literal["city", "objects"] = "city"

    def __post_init__(self) -> None:
        self.check_choices()
        self.check_at_least(2, "width")
        self.check_positive("depth")
        self.check_within(0, 1, "share")


def test_a_preset_is_the_defaults_with_its_values_and_ones_own() -> None:
    assert Tuned.preset("paper") == Tuned()
    assert Tuned.preset("cpu") == Tuned(width=8)
    assert Tuned.preset("cpu", width=9, depth=2) == Tuned(width=9, depth=2)


def test_unknown_presets_are_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"preset: got 'huge', expected one of \['cpu', 'paper'\]"):
        Tuned.preset("huge")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"mode": "village"}, "mode: got 'village', expected city or objects"),
        ({"width": 1}, "width: got 1, expected at least 2"),
        ({"width": float("nan")}, "width: got nan, expected at least 2"),
        ({"depth": 0}, "depth: got 0, expected more than 0"),
        ({"share": 1.5}, "share: got 1.5, expected 0 to 1"),
    ],
)
def test_values_out_of_range_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Tuned(**values)
    assert Tuned(width=2, depth=1, share=1.0, mode="objects").share == 1.0


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"scene_bounds": (0, 0, 0, 1, 0, 1)}, "expected x0 < x1"),
        ({"scene_bounds": (0, 0, 1, 1)}, "expected x0 < x1"),
        ({"scene_bounds": (0, 0, 0, 1, float("nan"), 1)}, "expected x0 < x1"),
        ({"near": -0.1}, "near: got -0.1, expected at least 0"),
    ],
)
def test_impossible_scenes_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        FieldConfig(**values)


def test_a_scene_without_bounds_gets_a_sky() -> None:
    box = (0.0, 0.0, 0.0, 1.0, 2.0, 3.0)
    assert FieldConfig(near=0.5).for_scene(box, False) == FieldConfig(near=0.5, scene_bounds=box)
    assert FieldConfig().for_scene(box, True) == FieldConfig(scene_bounds=box, unbounded=True, sky=True)
