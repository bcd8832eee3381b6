"""Instant-NGP for compiled code: the scene that kernels render, and the operator of compiled packages."""

from pathlib import Path

import numpy as np

from neurocity.kernels.scene import SceneData
from neurocity.rendering.native_kernel import MARCH_ARGUMENTS, native_kernel
from neurocity.rendering.native_scene import KernelModel, in_precision


def scene_data(model: KernelModel, dtype: type[np.float16 | np.float32]) -> SceneData:
    """The model as a scene of kind "hash_field"; `neurocity.kernels.hash_field` lists its parts.

    dtype: of the table and of the networks' weights.
    """
    return in_precision(model.kernel_data(), dtype)


render_hash_field = native_kernel(
    f"render_hash_field({MARCH_ARGUMENTS}, Tensor basis, Tensor table, Tensor scales, Tensor axis_factors, "
    "int dense_levels, int is_xor, Tensor density_weights, Tensor color_weights, int hidden, int geometry, "
    "int color_layers, float density_scale, float visible_weight, float least_light) -> Tensor",
    Path(__file__).with_name("render_hash_field.cpp"),
)
"""Sums [5, R] along rays of weighted colour, weight times depth, and weight, as `MarchedField.forward` takes.

basis [R, 16]: of directions. table [L, T, F] float32 or float16; scales [L], axis_factors [3, L] int64: as in
`HashGrid`. density_weights, color_weights: a network's weights, layer after layer, float32.
"""
