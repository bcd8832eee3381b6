"""A run that was stopped goes on as if it had not been: the same weights to the last bit."""

from pathlib import Path

import pytest
import torch
from fixtures_training import train_instant_ngp
from training_states import checkpoint_of, differences, state

from neurocity.errors import CheckpointError, ConfigError

TRAINING = {
    "steps_per_epoch": 8,
    "occupancy_interval": 4,
    "occupancy_warmup": 8,
    "prune_weight": 0.01,
    "prune_from": 0.0,
}


@pytest.fixture(scope="module")
def uninterrupted(sphere: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 steps, with a checkpoint after every 8."""
    out = tmp_path_factory.mktemp("uninterrupted")
    train_instant_ngp(sphere, out, training=TRAINING, max_steps=24)
    return out


@pytest.mark.parametrize("step", [8, 16])
def test_a_run_that_died_goes_on_exactly(
    step: int, uninterrupted: Path, sphere: Path, tmp_path: Path
) -> None:
    """What a killed run leaves is the checkpoint of its last validation."""
    resumed = train_instant_ngp(
        sphere, tmp_path, training=TRAINING, max_steps=24, resume=checkpoint_of(uninterrupted, step)
    )
    assert state(resumed)["global_step"] == 24
    assert differences(state(uninterrupted / "checkpoints" / "last.ckpt"), state(resumed)) == []


@pytest.mark.parametrize("step", [5, 16])
def test_a_run_that_ended_can_be_made_longer(step: int, sphere: Path, tmp_path: Path) -> None:
    """In the middle of an epoch too, and in the same folder. Only the learning rate knows the planned end."""
    training = {**TRAINING, "final_learning_rate": 1.0}
    whole = train_instant_ngp(sphere, tmp_path / "whole", training=training, max_steps=21)
    short = train_instant_ngp(sphere, tmp_path / "short", training=training, max_steps=step)
    assert state(short)["global_step"] == step
    longer = train_instant_ngp(sphere, tmp_path / "short", training=training, max_steps=21, resume=short)
    assert differences(state(whole), state(longer)) == []


def test_the_check_can_fail(uninterrupted: Path) -> None:
    one = state(checkpoint_of(uninterrupted, 8))
    assert any(
        "optimizer_states" in place for place in differences(one, state(checkpoint_of(uninterrupted, 16)))
    )


def test_resuming_from_nothing_or_from_a_foreign_file_is_an_error(sphere: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such file"):
        train_instant_ngp(sphere, tmp_path / "run", max_steps=2, resume=tmp_path / "absent.ckpt")
    foreign = tmp_path / "foreign.ckpt"
    torch.save({"state_dict": {}}, foreign)
    with pytest.raises(CheckpointError, match="is not a NeuroCity checkpoint"):
        train_instant_ngp(sphere, tmp_path / "run", max_steps=2, resume=foreign)


def test_resuming_another_model_is_an_error(uninterrupted: Path, sphere: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"has another model: log2_hashmap_size is 10, was 12$"):
        train_instant_ngp(
            sphere,
            tmp_path,
            model={"log2_hashmap_size": 10},
            training=TRAINING,
            max_steps=24,
            resume=checkpoint_of(uninterrupted, 8),
        )
