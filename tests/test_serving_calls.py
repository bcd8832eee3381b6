"""Rays in calls: each is rendered once, some at the same time, and the first failure ends the others."""

import asyncio

import numpy as np
import pytest

from neurocity.errors import EngineError
from neurocity.light import Light
from serving.engines.rays import render_in_calls


def numbered(rays: int) -> dict[str, np.ndarray]:
    """Inputs by which a ray is known again."""
    return {"ray_origins": np.arange(3 * rays, dtype=np.float32).reshape(rays, 3)}


def echo(origins: np.ndarray) -> Light:
    return Light(origins, origins[:, 0], origins[:, 1])


@pytest.mark.parametrize(("rays", "per_call"), [(1, 100), (100, 100), (101, 100), (7, 1)])
@pytest.mark.parametrize("at_once", [1, 3])
def test_calls_cover_the_rays_once_in_order(rays, per_call, at_once):
    sizes, running, most = [], 0, 0

    async def render_tile(inputs):
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.001)
        running -= 1
        sizes.append(len(inputs["ray_origins"]))
        return echo(inputs["ray_origins"])

    inputs = numbered(rays)
    light = asyncio.run(render_in_calls(render_tile, inputs, per_call, at_once))
    for values, expected in zip(light, echo(inputs["ray_origins"]), strict=True):
        np.testing.assert_array_equal(values, expected)
    assert sum(sizes) == rays
    assert max(sizes) <= per_call
    assert most == min(at_once, len(sizes))


def test_the_first_failure_ends_the_other_tiles():
    started, ended = [], []

    async def render_tile(inputs):
        first = inputs["ray_origins"][0, 0]
        started.append(first)
        await asyncio.sleep(0 if first == 0 else 5)
        ended.append(first)
        raise EngineError("broken")

    with pytest.raises(EngineError, match="broken"):
        asyncio.run(render_in_calls(render_tile, numbered(10), 1, at_once=2))
    assert len(started) == 2
    assert len(ended) == 1
