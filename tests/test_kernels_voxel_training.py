"""The training pass over voxels: packets and single rays, threads, rays that are no numbers, processors."""

import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import pytest
from svraster_scene import random_model

from neurocity.cameras import Camera, Rays
from neurocity.kernels import build
from neurocity.kernels.variation import total_variation
from neurocity.kernels.voxel_training import (
    TracedLight,
    TrainingInputs,
    VoxelSums,
    VoxelTape,
    ray_parts,
    trace_voxels,
    voxel_gradients,
)
from neurocity.poses import look_at

SIDE = 8
"""Pixels along the side of a square."""
SQUARES = 40
COUNT = SQUARES * SIDE**2


class Batch(NamedTuple):
    """Rays, the photograph's colours [R, 3], widths of pixels [R], and gradients by light."""

    rays: Rays
    colors: np.ndarray
    widths: np.ndarray
    slopes: TracedLight

    def taken(self, order: np.ndarray) -> Self:
        """Rays in another order, no longer in squares."""
        slopes = TracedLight(*(plane[order] for plane in self.slopes))
        return self._replace(
            rays=self.rays[order], colors=self.colors[order], widths=self.widths[order], slopes=slopes
        )


class Result(NamedTuple):
    light: TracedLight
    sums: VoxelSums
    evaluated: int


def batch() -> Batch:
    """Squares of pixels, each of another camera, every fourth inside of the scene."""
    generator = np.random.default_rng(0)
    views = []
    for index in range(SQUARES):
        eye = generator.normal(size=3) * (4.0 if index % 4 else 0.3)
        pose = look_at(tuple(eye), (-0.1, -0.6, 0.8), (0.0, 0.0, 1.0))
        views.append(Camera.from_fov_y(pose, SIDE, SIDE, 40.0).rays())
    rays = Rays(*Rays.joined(views).arrays(), width=SIDE)
    numbers = generator.normal(size=(6, COUNT)).astype(np.float32)
    slopes = TracedLight(np.ascontiguousarray(numbers[:3].T), *numbers[3:])
    return Batch(rays, generator.random((COUNT, 3), np.float32), generator.random(COUNT, np.float32), slopes)


def run(given: Batch, threads: int = 1) -> Result:
    """Along rays and back."""
    model = random_model(seed=2, depth=5, samples_per_voxel=2)
    inputs = TrainingInputs(
        model=model.kernel_data(),
        rays=given.rays,
        photograph=given.colors,
        pixel_widths=given.widths,
        sh_degree=3,
        distance_unit=1.5,
        near_distance=1.0,
        distorting=True,
    )
    light = TracedLight(np.empty((COUNT, 3), np.float32), *np.empty((3, COUNT), np.float32))
    tape = VoxelTape(ray_parts(given.rays))
    evaluated = trace_voxels(inputs, tape, light, threads=threads)
    parameters = (model.density, model.sh0, model.shs)
    gradients = [np.full(parameter.shape, np.nan, np.float32) for parameter in parameters]
    statistics = np.zeros((3, len(model.sh0)), np.float32)
    statistics[2] = np.inf
    sums = VoxelSums(*gradients, *statistics)
    voxel_gradients(inputs, tape, given.slopes, sums, threads=threads)
    return Result(light, sums, evaluated)


@pytest.fixture(scope="module")
def reference() -> Result:
    result = run(batch())
    assert all(np.abs(array).max() > 1e-2 for array in (*result.light, *result.sums[:5]))
    return result


@pytest.mark.parametrize("threads", [2, 5])
def test_bits_do_not_depend_on_threads(reference: Result, threads: int) -> None:
    assert ray_parts(batch().rays) > 5
    result = run(batch(), threads)
    for got, expected in zip((*result.light, *result.sums), (*reference.light, *reference.sums), strict=True):
        np.testing.assert_array_equal(got, expected)


def test_a_ray_that_descends_alone_brings_back_the_same(reference: Result) -> None:
    """No two neighbours are of one camera any more."""
    order = np.arange(COUNT).reshape(SQUARES, -1).T.flatten()
    result = run(batch().taken(order), threads=2)
    assert result.evaluated == reference.evaluated > COUNT
    for got, expected in zip(result.light, reference.light, strict=True):
        np.testing.assert_array_equal(got, expected[order])
    # Sums in another order.
    for got, expected in zip(result.sums, reference.sums, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("part", ["origins", "directions"])
def test_a_ray_that_is_no_number_meets_nothing(reference: Result, part: str) -> None:
    broken, missing = batch(), batch()
    lost = np.arange(5, COUNT, 13)
    getattr(broken.rays, part)[lost, 1] = np.nan
    missing.rays.origins[lost] = (50.0, 0.0, 0.0)
    missing.rays.directions[lost] = (1.0, 0.0, 0.0)
    results = [run(broken), run(missing)]
    assert results[0].evaluated == results[1].evaluated < reference.evaluated
    for plane in results[0].light:
        assert not plane[lost].any()
    for got, expected in zip(*((*result.light, *result.sums) for result in results), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-4)


def test_variation_does_not_depend_on_threads() -> None:
    tensors = random_model(seed=2, depth=5).kernel_data().tensors
    values = [total_variation(tensors["density"], tensors["voxel_points"], threads=count) for count in (1, 3)]
    assert values[0][0] == values[1][0] > 1.0
    np.testing.assert_array_equal(values[0][1], values[1][1])
    assert np.abs(values[0][1]).max() > 3


_SCRIPT = """
import sys
import numpy as np
from test_kernels_voxel_training import batch, run
result = run(batch())
np.savez(sys.argv[1], *result.light, *result.sums)
"""


def test_every_processor_finds_the_same_gradients(reference: Result, tmp_path: Path) -> None:
    """Up to rounding: processors differ in how many rays go together, and in how products are summed."""
    running = []
    for kind in build.processors():
        out = tmp_path / f"{kind}.npz"
        process = subprocess.Popen(
            [sys.executable, "-c", _SCRIPT, str(out)],
            env=os.environ | {"NEUROCITY_KERNELS": kind},
            cwd=Path(__file__).parent,
            stderr=subprocess.PIPE,
            text=True,
        )
        running.append((process, out))
    compared = 0
    for process, out in running:
        _, errors = process.communicate(timeout=120)
        if "this processor is of kind" in errors:
            continue
        assert process.returncode == 0, errors
        results = np.load(out)
        for index, expected in enumerate((*reference.light, *reference.sums)):
            np.testing.assert_allclose(results[f"arr_{index}"], expected, rtol=2e-3, atol=2e-3)
        compared += 1
    assert compared
