"""A procedural city as surveyors photograph it: strips, overlap, five cameras, what is held out, its plan."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from neurocity.cameras import Camera
from neurocity.city.plan import PlanOptions, plan_city
from neurocity.cli import main
from neurocity.data.city.camera_path import Shot, plan_shots, split_shots
from neurocity.data.city.config import CityConfig
from neurocity.data.city.layout import plan_city as plan_streets
from neurocity.data.city.survey import CAMERAS, SWAY
from neurocity.data.load import load_scene
from neurocity.data.scene import Frame, Scene
from neurocity.errors import ConfigError

TOP = 50.0
SURVEY = CityConfig(blocks=(3, 2), survey=True, overlap=(80.0, 50.0), width=30, height=20)


def shots(config: CityConfig = SURVEY) -> list[Shot]:
    return plan_shots(config, plan_streets(config.seed, config.blocks), TOP)


def kind(shot: Shot) -> str:
    return shot.name.split("_")[0]


def middle(camera: Camera) -> np.ndarray:
    """The place on the ground that is in the middle of a picture."""
    direction = -camera.camera_to_world[:3, 2]
    return (camera.position - direction * (camera.position[2] / direction[2]))[:2]


def test_strips_overlap_as_asked_for() -> None:
    """Three blocks along x, two along y: strips go along x, there and back, with wide pictures across."""
    cameras = [shot.camera for shot in shots() if kind(shot) == "down"]
    places = np.stack([camera.position for camera in cameras])
    assert (places[:, 2] == 2.0 * TOP).all()
    sway = 2.0 * SWAY * 2.0 * TOP
    strips = np.split(np.arange(len(places)), np.flatnonzero(abs(np.diff(places[:, 1])) > 2.0 * sway) + 1)
    assert len(strips) == 3
    assert len({len(strip) for strip in strips}) == 1
    picture = 2.0 * 2.0 * TOP * np.tan(np.radians(30.0)) * np.array([1.0, 1.5])
    ways = [float(np.sign(places[strip[1], 0] - places[strip[0], 0])) for strip in strips]
    assert ways in ([1.0, -1.0, 1.0], [-1.0, 1.0, -1.0])
    for way, strip in zip(ways, strips, strict=True):
        np.testing.assert_allclose(np.diff(places[strip, 0]), way * 0.2 * picture[0], atol=sway)
        assert all(cameras[view].camera_to_world[0, 1] * way > 0.99 for view in strip), "up is ahead"
    across = [float(places[strip, 1].mean()) for strip in strips]
    np.testing.assert_allclose(np.diff(across), 0.5 * picture[1], atol=sway)


def test_each_place_is_seen_from_above_and_from_all_sides() -> None:
    """Straight down by five or more at 80 % and 50 %, corners of the city included; aslant by some."""
    bounds = plan_streets(SURVEY.seed, SURVEY.blocks).bounds
    x, y = np.meshgrid(np.linspace(bounds.x0, bounds.x1, 12), np.linspace(bounds.y0, bounds.y1, 9))
    places = np.stack([x.ravel(), y.ravel(), np.zeros(x.size)], axis=1)
    counts = {name: np.zeros(len(places), int) for name in CAMERAS}
    for shot in shots():
        pixels, _ = shot.camera.project(places)
        counts[kind(shot)] += ((pixels >= 0) & (pixels < (SURVEY.width, SURVEY.height))).all(1)
        assert kind(shot) == "down" or abs(middle(shot.camera) - shot.camera.position[:2]).max() > TOP
    assert counts["down"].min() >= 5
    assert min(count.min() for count in counts.values()) >= 3


def test_held_out_views_are_of_all_cameras_and_all_over_the_city() -> None:
    config = replace(SURVEY, blocks=(6, 6), overlap=None)
    every = shots(config)
    splits = split_shots(config, every)
    assert sorted(shot.name for split in splits.values() for shot in split) == sorted(
        shot.name for shot in every
    )
    held_out = splits["val"] + splits["test"]
    assert len(held_out) == pytest.approx(len(every) / 10, abs=1)
    assert {kind(shot) for shot in held_out} == set(CAMERAS)
    middles = np.stack([middle(shot.camera) for shot in held_out])
    bounds = plan_streets(config.seed, config.blocks).bounds
    thirds = np.clip((middles - (bounds.x0, bounds.y0)) / bounds.size * 3, 0, 2.99).astype(int)
    assert len({*map(tuple, thirds.tolist())}) == 9, "parts of the city"


def test_a_survey_without_held_out_views_is_refused() -> None:
    config = replace(SURVEY, held_out_every=100_000)
    with pytest.raises(ConfigError, match="held_out_every: got 100000, of which none of the"):
        split_shots(config, shots(config))


def test_a_plan_of_a_survey_gives_each_block_what_shows_it() -> None:
    """Of six blocks, with points on the ground and on roofs."""
    bounds = plan_streets(SURVEY.seed, SURVEY.blocks).bounds
    splits = split_shots(SURVEY, shots())
    rng = np.random.default_rng(0)
    points = rng.uniform((bounds.x0, bounds.y0, 0.0), (bounds.x1, bounds.y1, 30.0), (4000, 3))
    points[::2, 2] = 0.0
    scene = Scene(
        root=Path("survey"),
        layout="transforms",
        splits={
            name: tuple(
                Frame(name=shot.name, camera=shot.camera, image_path=Path(), has_alpha=False)
                for shot in chosen
            )
            for name, chosen in splits.items()
        },
        up=(0.0, 0.0, 1.0),
        bounds=(bounds.x0, bounds.y0, 0.0, bounds.x1, bounds.y1, TOP),
        unbounded=True,
        points=points,
        origin=(0.0, 0.0, 0.0),
    )
    plan = plan_city(scene, "survey", PlanOptions(block_size=70.0))
    assert [block.id for block in plan.city.blocks] == [f"x{i}-y{j}" for j in range(2) for i in range(3)]
    assert plan.remarks == ()
    for block in plan.city.blocks:
        assert {name.split("_")[0] for name in block.photographs} == set(CAMERAS), "from all sides"
        assert len(block.photographs) < 0.9 * len(splits["train"])


def test_the_command_photographs_a_survey(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--blocks", "1", "1", "--width", "8", "--height", "8", "--samples-per-axis", "1"]
    survey = ["--survey", "--overlap", "50", "40", "--altitude", "90"]
    assert main(["demo-data", str(tmp_path / "survey"), *words, *survey]) == 0
    frames = load_scene(tmp_path / "survey").splits
    assert sum(map(len, frames.values())) > 10
    assert all(abs(frame.camera.position[2] - 90.0) < 1e-9 for split in frames.values() for frame in split)
    assert main(["demo-data", str(tmp_path / "low"), *words, "--survey", "--altitude", "20"]) == 2
    assert "altitude: got 20, expected" in capsys.readouterr().err
    assert not (tmp_path / "low").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"views": 50}, "views: got 50, a survey has none: its views follow from overlap and altitude"),
        ({"street_share": 0.0}, "street_share: got 0.0, a survey has none"),
        ({"drive": True}, "drive: got True, a survey has none"),
        ({"survey": False}, "overlap: got .*, which is of surveys: give survey, too"),
        ({"overlap": (80.0, 99.0)}, "overlap of strips: got 99.0, expected"),
        ({"altitude": float("inf")}, "altitude: got inf, expected"),
    ],
)
def test_what_is_no_survey_is_refused(change: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        replace(SURVEY, **change)


def test_a_survey_that_cannot_be_flown_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"altitude: got 40, expected 58.0 at least: the tallest building"):
        shots(replace(SURVEY, altitude=40.0))
    with pytest.raises(
        ConfigError, match=r"overlap: got 95 95, of which a survey at 100 m has up to .* views"
    ):
        shots(replace(SURVEY, blocks=(12, 12), overlap=(95.0, 95.0), width=20))
