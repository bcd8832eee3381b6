"""What a run shows and leaves behind: figures, pictures of validation views, the averaged weights."""

from neurocity.training.callbacks.averaging import WeightAverage
from neurocity.training.callbacks.figures import GradientNorm, Throughput, VoxelStatisticsCallback
from neurocity.training.callbacks.progress import ProgressBar, ProgressLines
from neurocity.training.callbacks.rendering import RenderingCallback

__all__ = [
    "GradientNorm",
    "ProgressBar",
    "ProgressLines",
    "RenderingCallback",
    "Throughput",
    "VoxelStatisticsCallback",
    "WeightAverage",
]
