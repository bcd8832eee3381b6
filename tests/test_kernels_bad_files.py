"""Damaged files of scenes: each is refused, or rendered within its arrays.

`make check-kernels` runs them with checks of every address.
"""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from grid_nerf_field import grid_nerf_field
from instant_ngp_field import instant_ngp_field
from svraster_scene import random_model

from neurocity.cameras import Camera
from neurocity.contract import RAY_INPUTS
from neurocity.errors import ManifestError
from neurocity.kernels.file import file_content, open_file, scene_data, scene_inputs
from neurocity.kernels.scene import SceneData, open_scene, render_rays
from neurocity.poses import look_at
from neurocity.rendering.kernel_field import in_precision
from neurocity.svraster import native

MODELS: dict[str, Callable[[], SceneData]] = {
    "voxels": lambda: native.scene_data(random_model(1).requires_grad_(False), np.float16),
    "hash field": lambda: in_precision(instant_ngp_field(unbounded=True, sky=True).kernel_data(), np.float16),
    "plane field": lambda: grid_nerf_field(render_branch="nerf").scene_data(),
}
FILES = 60


def damaged(content: bytes, generator: np.random.Generator) -> bytes:
    """The file with a few other bytes: in its header, in one of its arrays, or with its end cut off."""
    result = np.frombuffer(content, np.uint8).copy()
    begin = 8 + int.from_bytes(content[:8], "little")
    arrays = [entry["data_offsets"] for entry in json.loads(content[8:begin]).values() if "dtype" in entry]
    first, last = begin + np.array(arrays[generator.integers(len(arrays))])
    places = [(0, begin), (first, last), (first, last)][generator.integers(3)]
    changes = generator.choice([0, 1, 127, 128, 255, *generator.integers(256, size=3)], 4)
    result[generator.integers(*places, size=4)] = changes
    end = generator.integers(len(content)) if generator.random() < 0.1 else None
    return result[:end].tobytes()


@pytest.mark.parametrize("name", MODELS)
def test_a_damaged_file_is_refused_or_rendered(name: str, tmp_path: Path) -> None:
    content, path = file_content(MODELS[name](), RAY_INPUTS, {}), tmp_path / "model.safetensors"
    rays = Camera.from_fov_y(look_at((2.4, 1.9, 1.2), (0.0, -0.1, 0.1), (0.0, 0.0, 1.0)), 9, 7, 50.0).rays()
    outcomes = Counter[str]()
    for seed in range(FILES):
        path.write_bytes(damaged(content, np.random.default_rng(seed)))
        try:
            file = open_file(path)
            scene_inputs(file)
            scene = open_scene(scene_data(file))
        except ManifestError:
            outcomes["refused"] += 1
        else:
            assert render_rays(scene, rays, threads=1) is not None
            outcomes["rendered"] += 1
    assert min(outcomes["refused"], outcomes["rendered"]) > FILES / 10
