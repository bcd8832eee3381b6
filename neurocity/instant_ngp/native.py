"""Instant-NGP for compiled code: the scene that kernels render."""

import numpy as np

from neurocity.kernels.scene import SceneData
from neurocity.rendering.native_scene import KernelModel, in_precision


def scene_data(model: KernelModel, dtype: type[np.float16 | np.float32]) -> SceneData:
    """The model as a scene of kind "hash_field"; `neurocity.kernels.hash_field` lists its parts.

    dtype: of the table and of the networks' weights.
    """
    return in_precision(model.kernel_data(), dtype)
