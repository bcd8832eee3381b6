"""What a run shows and leaves behind: figures, pictures of validation views, the averaged weights."""

from neurocity.training.callbacks.averaging import WeightAverage
from neurocity.training.callbacks.figures import GradientNorm, Throughput, VoxelStatisticsCallback
from neurocity.training.callbacks.keeping import BestAndLast
from neurocity.training.callbacks.progress import ProgressBar, ProgressFile, ProgressLines
from neurocity.training.callbacks.rendering import RenderingCallback

__all__ = [
    "BestAndLast",
    "GradientNorm",
    "ProgressBar",
    "ProgressFile",
    "ProgressLines",
    "RenderingCallback",
    "Throughput",
    "VoxelStatisticsCallback",
    "WeightAverage",
]
