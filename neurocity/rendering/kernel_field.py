"""Marched fields as the compiled kernels take them; `neurocity.kernels.marched_field` lists the parts."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from neurocity.cameras import Rays
from neurocity.kernels.scene import SceneData, open_scene
from neurocity.light import Light
from neurocity.rendering.cpu_kernels import arrays, kernels_apply
from neurocity.rendering.marched_field import MarchedField
from neurocity.rendering.render import RayRender

EXACT = frozenset({"bounds", "jump", "edges", "sky", "scales", "extents"})
"""Tensors of float32 whatever the precision of a scene, as whole numbers keep their type."""


class KernelField(MarchedField):
    """A marched field that a kernel renders too: on the CPU, in float32, where no gradient is asked for."""

    def forward(self, ray_origins: Tensor, ray_directions: Tensor) -> RayRender:
        """Render rays [R, 3], unit directions, in world units; see `neurocity.contract`."""
        if kernels_apply(ray_origins):
            return self.render_compiled(ray_origins, ray_directions)
        return self.render(ray_origins, ray_directions)

    @torch.jit.unused
    def render_compiled(self, ray_origins: Tensor, ray_directions: Tensor) -> RayRender:
        """`render` by one call of the kernel, where it can."""
        own = next(self.parameters())
        follows = own.requires_grad or ray_origins.requires_grad or ray_directions.requires_grad
        if own.dtype != torch.float32 or (follows and torch.is_grad_enabled()):
            return self.render(ray_origins, ray_directions)
        rays = Rays(*arrays(ray_origins, ray_directions))
        light = Light.empty(len(rays))
        open_scene(self.kernel_data()).render(rays, light, threads=torch.get_num_threads())
        return RayRender(*map(torch.from_numpy, light))

    @torch.jit.unused
    def kernel_data(self) -> SceneData:
        """The field's own tensors and numbers; see `neurocity.kernels.marched_field`."""
        raise NotImplementedError

    @torch.jit.unused
    def scene_data(self) -> SceneData:
        """See `family.NativeModel`."""
        halved = next(self.parameters()).dtype == torch.float16
        return in_precision(self.kernel_data(), np.float16 if halved else np.float32)


def march_arrays(field: MarchedField, jump: Tensor) -> dict[str, np.ndarray]:
    """The tensors of march and sky, by name. jump [G^3]: of the occupancy grid."""
    marcher = field.marcher
    bounds = torch.stack([marcher.low, marcher.high])
    tensors = {"bounds": bounds, "jump": jump.char(), "edges": marcher.edges}
    if field.sky_enabled:
        tensors["sky"] = field.sky_net.flat_weights()
    return dict(zip(tensors, arrays(*tensors.values()), strict=True))


def march_settings(field: MarchedField) -> dict[str, float]:
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
