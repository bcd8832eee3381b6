"""Trains every family on CPU processes; a script, because DDP starts it once more for every further process.

python ddp_training.py DATA OUT PROCESSES
"""

import sys
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from tiny_families import tiny_model, tiny_training

from neurocity.data.datasets import training_datasets
from neurocity.data.load import load_scene
from neurocity.families import FAMILIES
from neurocity.training.api import train_any_model

EPOCHS, STEPS_PER_EPOCH = 2, 6
CHANGES: dict[str, dict[str, Any]] = {
    # Small enough to be pruned within so few steps.
    "instant_ngp": {
        "exposure": True,
        "model_config": replace(tiny_model("instant_ngp"), occupancy_resolution=12),
        "prune_from": 0.0,
        "prune_weight": 0.015,
    }
}


class Record(pl.Callback):
    """Writes what a process ends with to `<out>/<family>-<rank>.pt`."""

    def __init__(self, out: Path) -> None:
        self.out = out

    def on_train_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        content = {
            "state": pl_module.state_dict(),
            "rays_per_batch": pl_module.rays_per_batch,
            "metrics": pl_module.validation_metrics,
        }
        torch.save(content, self.out / f"{pl_module.family}-{trainer.global_rank}.pt")


def train(family: str, data: Path, out: Path, processes: int) -> None:
    train_dataset, val_dataset = training_datasets(load_scene(data), batches=STEPS_PER_EPOCH)
    train_any_model(
        family,
        # With a smaller epsilon Adam enlarges differences of gradients that are nearly zero.
        lightning_config=tiny_training(family, use_ema=False, epsilon=1e-8, **CHANGES.get(family, {})),
        train_dataset=train_dataset,
        val_dataset=val_dataset,
        max_epochs=EPOCHS,
        gpus=0,
        devices=processes,
        strategy="auto" if processes == 1 else "ddp",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        callbacks=[Record(out)],
    )


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    for name in FAMILIES:
        train(name, Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
