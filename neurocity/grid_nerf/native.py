"""Grid-NeRF for compiled code: the scene that kernels render."""

import numpy as np

from neurocity.kernels.scene import SceneData
from neurocity.rendering.native_scene import KernelModel, in_precision


def scene_data(model: KernelModel, dtype: type[np.float16 | np.float32]) -> SceneData:
    """The model as a scene of kind "plane_field"; `neurocity.kernels.plane_field` lists its parts.

    dtype: of planes, lines and the networks' weights.
    """
    return in_precision(model.kernel_data(), dtype)
