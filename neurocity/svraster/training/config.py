"""Configuration of SVRaster's training, with Lightning and without."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from neurocity.errors import ConfigError
from neurocity.training.config import TrainingConfig


@dataclass(frozen=True, kw_only=True)
class SVRasterTrainingConfig(
    TrainingConfig,
    # Directions are forgotten at once.
    betas=(0.1, 0.99),
    # So small that a voxel which is rarely met learns as fast as others.
    epsilon=1e-15,
):
    """Rays, losses and adaptation of SVRaster (Sun et al. 2024, section 3.3 and supplement).

    Times are shares of training, and epochs. An epoch has `steps_per_epoch` steps where this configuration
    decides on them.
    """

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {
            "optimizer_type": "adam",
            "scheduler_type": "step",
            "step_milestones": (0.95,),
            "final_learning_rate": 0.1,
            "gradient_clip_val": None,
            "subdivision_start_epoch": 1,
            "subdivision_interval": 1,
            "subdivision_threshold": 0.0,
            "pruning_start_epoch": 1,
            "pruning_interval": 1,
            "pruning_threshold": 1e-4,
            "smallest_voxel": 0.5,
        },
        "cpu": {
            "learning_rate": 5e-3,
            "optimizer_type": "adam",
            "final_learning_rate": 0.05,
            "gradient_clip_val": None,
            "ema_decay": 0.99,
            "steps_per_epoch": 200,
            "rays_per_batch": 2**14,
            "near_neighbors": 12,
            "concentration_weight": 0.05,
            "square_side": 8,
            "hull_resolution": 64,
            "ssim_weight": 0.0,
            "distortion_weight": 0.0,
            "entropy_weight": 0.0,
            "total_variation_weight": 2e-11,
            "unbounded_total_variation_weight": 1e-9,
            "total_variation_end": 1.0,
            "subdivision_start_epoch": 1,
            "subdivision_interval": 1,
            "subdivision_threshold": 0.0,
            "subdivision_share": 0.3,
            "pruning_start_epoch": 1,
            "pruning_interval": 1,
            "pruning_threshold": 0.01,
            "final_pruning_threshold": 0.02,
            "smallest_voxel": 0.5,
        },
    }

    density_rate: float = 25.0
    """Learning rate of densities, as a multiple of `learning_rate`."""
    color_rate: float = 10.0
    """Learning rate of the constants of colours, as a multiple of `learning_rate`."""
    harmonics_rate: float = 0.25
    """Learning rate of the other spherical harmonics, as a multiple of `learning_rate`."""
    rays_per_batch: int = 2**16
    """Rays of a batch."""
    square_side: int = 16
    """Pixels along a side of the squares in which rays come: neighbours meet the same voxels. A loader of
    one's own decides for itself."""
    hull_resolution: int | None = None
    """Cells along an axis of the visual hull that a bounded scene starts from, a power of two; None is the
    model's `base_resolution`."""
    degree_interval: float = 0.05
    """Share of training after which one more band of spherical harmonics is learnt."""

    near_neighbors: int = 0
    """In unbounded scenes, views of places nearer than a camera's neighbour of this number count less
    (Philip and Deschaintre 2023); see `near_field`. 0 lets all count alike."""
    concentration_weight: float = 0.01
    """Weight of the loss that pulls all that a ray sees to the photograph's colour."""
    ssim_weight: float = 0.02
    """Weight of 1 - SSIM, where rays come in squares of at least 11 pixels a side on a single process."""
    distortion_weight: float = 0.1
    """Weight of the loss that gathers a ray's light at one depth."""
    distortion_start: float = 0.5
    """Share of training from which on the distortion loss counts."""
    entropy_weight: float = 0.1
    """Weight of the loss for half transparent rays, in scenes with a transparent background."""
    remaining_light_weight: float = 0.01
    """Weight of the loss for rays that end nowhere, in opaque scenes without a sky."""
    total_variation_weight: float = 1e-10
    """Weight of differences of raw density along voxels' edges, summed over voxels, in bounded scenes."""
    unbounded_total_variation_weight: float = 1e-10
    """The same in unbounded scenes, where no visual hull says which space is empty."""
    total_variation_end: float = 0.5
    """Share of training until which total variation counts."""

    enable_subdivision: bool = True
    """Whether voxels are split where the loss asks for detail."""
    subdivision_start_epoch: int = 10
    """Epoch, counted from 1, at whose end voxels are split for the first time."""
    subdivision_interval: int = 5
    """Epochs between subdivisions."""
    subdivision_threshold: float = 0.01
    """Voxels are split whose priority, the sum of |dL/dalpha alpha|, is this share of the largest or more."""
    subdivision_share: float = 0.05
    """At most this share of the voxels is split at a time, those of the highest priority first."""
    full_subdivisions: int = 1
    """The first so many subdivisions split all voxels that are large enough, whatever their priority."""
    subdivision_end: float = 0.75
    """Share of training after which no voxel is split."""
    smallest_voxel: float = 1.0
    """Voxels are split only if their parts are at least so many pixels wide in the view that is nearest."""

    enable_pruning: bool = True
    """Whether voxels that no ray needs are removed."""
    pruning_start_epoch: int = 20
    """Epoch, counted from 1, at whose end voxels are removed for the first time."""
    pruning_interval: int = 10
    """Epochs between prunings."""
    pruning_threshold: float = 0.001
    """Voxels are removed whose compositing weight was below this on every ray since the last adaptation."""
    final_pruning_threshold: float = 0.05
    """The threshold at `pruning_end`; it rises linearly."""
    pruning_end: float = 0.9
    """Share of training after which no voxel is removed."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_at_least(0, "near_neighbors")
        self.check_at_least(1, "rays_per_batch", "square_side", "subdivision_interval", "pruning_interval")
        weights = [name for name in vars(self) if name.endswith("_weight")]
        self.check_at_least(0, *weights, "smallest_voxel", "density_rate", "color_rate", "harmonics_rate")
        shares = ("subdivision_share", "subdivision_threshold", "pruning_threshold", "degree_interval")
        self.check_within(0, 1, *shares)
        resolution = self.hull_resolution
        if resolution is not None and (resolution < 2 or resolution & (resolution - 1)):
            raise ConfigError(f"hull_resolution: got {resolution}, expected a power of two, or None")

    def subdivides(self, epoch: int, progress: float) -> bool:
        """Whether voxels are split at the end of `epoch`, counted from 1."""
        due = _is_due(epoch, self.subdivision_start_epoch, self.subdivision_interval)
        return self.enable_subdivision and due and progress <= self.subdivision_end

    def subdivisions_before(self, epoch: int) -> int:
        """How many times voxels may have been split before the end of `epoch`, counted from 1."""
        return (epoch - self.subdivision_start_epoch) // self.subdivision_interval

    def prunes(self, epoch: int, progress: float) -> bool:
        """Whether voxels are removed at the end of `epoch`, counted from 1."""
        due = _is_due(epoch, self.pruning_start_epoch, self.pruning_interval)
        return self.enable_pruning and due and progress <= self.pruning_end


def _is_due(epoch: int, start: int, interval: int) -> bool:
    return epoch >= start and (epoch - start) % interval == 0
