"""Marched fields as the compiled kernels take them; `neurocity.kernels.marched_field` lists the parts."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from neurocity.kernels.scene import SceneData
from neurocity.rendering.cpu_kernels import arrays
from neurocity.rendering.marching import RayMarcher
from neurocity.rendering.mlp import MLP

EXACT = frozenset({"bounds", "jump", "edges", "sky", "scales", "extents"})
"""Tensors of float32 whatever the precision of a scene, as whole numbers keep their type."""


class KernelModel(Protocol):
    """A model that compiled kernels can render."""

    def kernel_data(self) -> SceneData:
        """Its own tensors, float32, and numbers."""


class Marched(Protocol):
    """What a `MarchedField` gives here."""

    marcher: RayMarcher
    sky_net: MLP
    sky_enabled: bool
    density_scale: float
    visible_weight: float
    least_light: float


def march_arrays(field: Marched, jump: Tensor) -> dict[str, np.ndarray]:
    """The tensors of march and sky, by name. jump [G^3]: of the occupancy grid."""
    marcher = field.marcher
    tensors = {
        "bounds": torch.stack([marcher.low, marcher.high]),
        "jump": jump.char(),
        "edges": marcher.edges,
    }
    if field.sky_enabled:
        tensors["sky"] = field.sky_net.flat_weights()
    return dict(zip(tensors, arrays(*tensors.values()), strict=True))


def march_settings(field: Marched) -> dict[str, float]:
    """The numbers of march, sky and compositing, by name."""
    marcher = field.marcher
    return {
        "unbounded": float(marcher.unbounded),
        "step": marcher.step,
        "side": marcher.side,
        "near": marcher.near,
        "growth": marcher.growth,
        "far": marcher.far,
        "density_scale": field.density_scale,
        "visible_weight": field.visible_weight,
        "least_light": field.least_light,
    }


def network_arrays(networks: Mapping[str, nn.Module]) -> dict[str, np.ndarray]:
    """Weights [outputs, inputs] of networks by name: <name>.0, <name>.1, ... of their layers."""
    return {
        f"{name}.{index}": array
        for name, network in networks.items()
        for index, array in enumerate(arrays(*network.parameters()))
    }


def in_precision(data: SceneData, dtype: type[np.float16 | np.float32]) -> SceneData:
    """The scene with tables and weights in float32 or float16, clipped to what that holds."""
    limit = np.finfo(dtype).max
    tensors = {
        name: array if name in EXACT or array.dtype.kind == "i" else array.clip(-limit, limit).astype(dtype)
        for name, array in data.tensors.items()
    }
    return replace(data, tensors=tensors)
