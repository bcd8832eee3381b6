"""What the check is asked for, and the sizes that follow from it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from export.formats.registry import format_names
from neurocity.families import FAMILIES

FORMATS = ("torchscript", "aotinductor", "onnx", "tensorrt")
"""Formats that a GPU may run; native is for CPUs, and onnx_tensorrt is what tensorrt builds from."""
assert set(FORMATS) <= set(format_names())

QUICK_FAMILIES = ("svraster", "instant_ngp")

TINY: dict[str, tuple[str, ...]] = {
    "svraster": ("model.base_resolution=16", "model.max_octree_levels=5", "training.hull_resolution=16"),
    "grid_nerf": (
        "model.initial_resolution=16",
        "model.final_resolution=24",
        "model.occupancy_resolution=32",
        "model.march_steps=64",
        "training.samples_per_batch=8192",
    ),
    "instant_ngp": (
        "model.num_levels=2",
        "model.occupancy_resolution=32",
        "model.march_steps=64",
        "training.samples_per_batch=8192",
    ),
    "mip_nerf": (
        "model.depth=2",
        "model.skip_layer=2",
        "model.width=32",
        "model.coarse_samples=8",
        "model.fine_samples=8",
        "training.cones_per_batch=256",
    ),
}
"""Changes of the preset with which a family trains and exports in seconds."""


@dataclass(frozen=True)
class Arguments:
    """Train, compare, export and time every family on this machine, in stages that are processes.

    Rows are printed and kept in OUT as soon as they are measured. At the end OUT/table.md has them all.
    """

    out: Path = Path("gpu-check")
    """Folder for figures (results.jsonl), the tables (table.md), logs, checkpoints and artefacts."""
    data: Path | None = None
    """Dataset; without it, lego_400 where the tests look for it, or else a city that is made."""
    device: Literal["cuda", "cpu"] = "cuda"
    """What is checked; `cpu` shows that the check itself works."""
    quick: bool = False
    """Everything small and on one core, in about 90 seconds: shows that the check works, and no speed."""
    minutes: float = 9.0
    """What is not begun by then is left out, and what runs is ended."""
    train_seconds: float | None = None
    """Training of each family; without it 45, or 1 with --quick."""
    precision: Literal["32-true", "16-mixed", "bf16-mixed"] | None = None
    """Precision of training; without it 16-mixed on a GPU, bf16-mixed on the CPU."""
    families: tuple[str, ...] | None = None
    """Model families; without it all, or two with --quick."""
    formats: tuple[str, ...] = FORMATS
    """Export formats."""
    beside: int = 4
    """Artefacts that are written at the same time; nothing is measured meanwhile."""

    @property
    def chosen(self) -> tuple[str, ...]:
        """The families to check."""
        return self.families or (QUICK_FAMILIES if self.quick else tuple(FAMILIES))


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One process of the check.

    task: its function in `benchmarks.gpu.task`. values: what the function is given, plain data. seconds: its
    limit. after: names of stages without which it has nothing to work on. beside: whether it may run while
    others do.
    """

    name: str
    task: str
    seconds: float
    values: dict[str, Any] = field(default_factory=dict)
    after: tuple[str, ...] = ()
    beside: bool = False
