"""What training empties of the occupancy grid: cells that no camera sees, and those that no ray needs."""

from pathlib import Path

import numpy as np
import pytest
import torch
from fixtures_training import TINY_MODEL, TINY_TRAINING, train_instant_ngp
from sphere_photographs import CENTER

from neurocity.checkpoint import load_checkpoint, read_content
from neurocity.data.datasets import TrainingRays
from neurocity.data.load import load_scene
from neurocity.errors import TrainingError
from neurocity.instant_ngp.core import InstantNGP, InstantNGPConfig
from neurocity.rendering.occupancy import NEVER, OCCUPIED
from neurocity.training.occupancy import seen_cells
from neurocity.training.pruning import RAYS_PER_FACE_CELL, SeenWeights


def test_the_largest_weight_of_a_cell_is_kept() -> None:
    seen = SeenWeights(8)
    seen.add(torch.tensor([3, 3, 100, 3]), torch.tensor([0.1, 0.7, 0.2, 0.3]))
    seen.add(torch.tensor([3, 100]), torch.tensor([0.6, 0.25]))
    expected = torch.zeros(8**3)
    expected[3], expected[100] = 0.7, 0.25
    assert torch.equal(seen.largest, expected)


def test_cells_are_judged_after_enough_rays() -> None:
    seen = SeenWeights(8)
    seen.rays = RAYS_PER_FACE_CELL * 8**2 - 1
    assert not seen.complete
    seen.rays += 1
    seen.largest[5] = 1.0
    assert seen.complete
    again = SeenWeights(8)
    again.load(seen.state())
    assert again.complete
    assert torch.equal(again.largest, seen.largest)
    seen.clear()
    assert not seen.complete
    assert not bool(seen.largest.any())


def test_what_no_camera_looks_at_is_not_seen(sphere: Path) -> None:
    """One camera sees what is ahead of it, as far as space goes, and nothing of what is behind it."""
    (frame,) = load_scene(sphere).splits["train"][:1]
    model = InstantNGP(InstantNGPConfig(**{**TINY_MODEL, "unbounded": True, "sky": True}))
    seen = seen_cells(model, TrainingRays([frame]))
    forward = -frame.camera.camera_to_world[:3, 2]
    distance = np.array([-18.0, -9.0, 1.0, 4.0, 15.0])
    places = torch.from_numpy(frame.camera.position[:, None] + forward[:, None] * distance).float()
    assert seen[model.marcher.cell(places)].tolist() == [False, False, True, True, True]


def test_pruning_empties_cells_and_keeps_the_picture(trained_run: Path, sphere: Path, tmp_path: Path) -> None:
    """The inside of the sphere goes, which no ray reaches."""
    whole = trained_run / "checkpoints" / "last.ckpt"
    pruned = train_instant_ngp(
        sphere, tmp_path, training={**TINY_TRAINING, "prune_weight": 0.05}, max_steps=240
    )
    models = [load_checkpoint(path).model for path in (whole, pruned)]
    before, after = (model.occupancy.jump == OCCUPIED for model in models)
    center = models[0].marcher.cell(torch.from_numpy(CENTER).float()[:, None])
    assert bool(before[center].all())
    assert not bool(after[center].any())
    assert models[1].occupancy.density[center] == NEVER
    assert int(after.sum()) < int(before.sum())
    quality = [read_content(path)["hyper_parameters"]["metrics"]["val/psnr"] for path in (whole, pruned)]
    assert quality[1] > quality[0] - 0.3


def test_pruning_everything_is_an_error(sphere: Path, tmp_path: Path) -> None:
    training = {**TINY_TRAINING, "prune_weight": 0.999, "prune_from": 0.0}
    with pytest.raises(TrainingError, match=r"prune_weight: got 0\.999, expected less than 0\.\d+"):
        train_instant_ngp(
            sphere, tmp_path, model={"occupancy_resolution": 8}, training=training, max_steps=40
        )
