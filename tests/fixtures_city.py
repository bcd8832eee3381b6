"""Photographs of a tiny city, and a plan of it, once for the whole test run."""

from pathlib import Path

import pytest

from neurocity.city.manifest import City
from neurocity.city.plan import PlanOptions, plan_city
from neurocity.data.city.config import CityConfig
from neurocity.data.city.generate import generate_city
from neurocity.data.load import load_scene


@pytest.fixture(scope="session")
def city_photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A block of houses that is cut out, from the air."""
    folder = tmp_path_factory.mktemp("photographs") / "cut-out"
    config = CityConfig(
        blocks=(1, 1),
        views=16,
        held_out_every=4,
        width=32,
        height=24,
        samples_per_axis=1,
        sparse_points=1500,
        street_share=0.0,
        cutout=True,
    )
    generate_city(folder, config)
    return folder


@pytest.fixture(scope="session")
def planned_town(city_photographs: Path) -> City:
    """Of two by two blocks."""
    options = PlanOptions(block_size=60.0, fewest_views=2)
    return plan_city(load_scene(city_photographs), "town", options).city
