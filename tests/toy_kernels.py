"""Kinds of scenes that numpy renders, for tests of what is around the kernels: files, formats, engines.

`register` makes them known in a process.
"""

import time

import numpy as np

from neurocity.cameras import Rays
from neurocity.kernels.scene import KINDS, SceneData
from neurocity.kernels.work import Work
from neurocity.light import Light

_SECONDS_OF_A_PART = 0.01


def register() -> None:
    """Let `open_scene` know the kinds of this module."""
    KINDS.update(
        tiny="toy_kernels:TinyScene", sphere="toy_kernels:SphereScene", cones="toy_kernels:ConesScene"
    )


class TinyScene:
    """The field of `tiny_field`, from its state and its numbers."""

    def __init__(self, data: SceneData) -> None:
        self.state = data.tensors
        self.samples, self.resolution = (int(data.settings[name]) for name in ("samples", "resolution"))

    @np.errstate(all="ignore")  # rays that are parallel to a face divide by 0, as in torch
    def render(self, rays: Rays, light: Light, *, threads: int, work: Work | None = None) -> bool:  # noqa: ARG002
        state, one = self.state, np.float32(1)
        directions = rays.directions
        inverse = one / np.where(abs(directions) < 1e-9, np.float32(1e-9), directions)
        a, b = ((state[f"bounds_{end}"] - rays.origins) * inverse for end in ("min", "max"))
        near, far = np.minimum(a, b).max(1).clip(min=0), np.maximum(a, b).min(1)
        length = (far - near).clip(min=0)
        t = near[:, None] + length[:, None] * state["fractions"]
        points = rays.origins[:, None] + t[..., None] * directions[:, None]
        unit = (points - state["bounds_min"]) / (state["bounds_max"] - state["bounds_min"])
        cell = (unit * np.float32(self.resolution)).clip(0, self.resolution - 1).astype(np.int64)
        index = cell @ [self.resolution**2, self.resolution, 1]
        hit = (state["occupied"][index] > 0) & (length > 0)[:, None]
        seen = np.concatenate([points, np.broadcast_to(directions[:, None], points.shape)], -1)
        hidden = (seen @ state["hidden.weight"].T + state["hidden.bias"]).clip(min=0)
        values = hidden @ state["out.weight"].T + state["out.bias"]
        sigma = np.where(hit, np.logaddexp(np.float32(0), values[..., 0]) * 4, np.float32(0))
        optical = sigma * (length / np.float32(self.samples))[:, None]
        weights = np.exp(optical - np.cumsum(optical, 1)) * (1 - np.exp(-optical))
        light.opacity[:] = weights.sum(1)
        light.depth[:] = (weights * t).sum(1) / light.opacity.clip(min=1e-6)
        light.rgb[:] = (weights[..., None] / (1 + np.exp(-values[..., 1:]))).sum(1)
        return True


class SphereScene:
    """The sphere of `analytic_scene`.

    It takes as many parts as the setting says, each some time; `work` stops it between them.
    """

    def __init__(self, data: SceneData) -> None:
        self.rgb_scale = data.tensors["rgb_scale"]
        self.parts = int(data.settings["parts"])

    def render(self, rays: Rays, light: Light, *, threads: int, work: Work | None = None) -> bool:  # noqa: ARG002
        for _ in range(self.parts):
            if work is not None and work.stop:
                return False
            time.sleep(_SECONDS_OF_A_PART)
        import analytic_scene  # noqa: PLC0415, brings torch

        rgb, light.depth[:], light.opacity[:] = analytic_scene.render(*rays.arrays())
        light.rgb[:] = rgb * self.rgb_scale
        return True


class ConesScene:
    """What `_Cones` of test_every_format computes."""

    def __init__(self, data: SceneData) -> None:
        pass

    def render(self, rays: Rays, light: Light, *, threads: int, work: Work | None = None) -> bool:  # noqa: ARG002
        light.rgb[:] = 1 / (1 + np.exp(-rays.origins * rays.radii))
        light.depth[:] = rays.directions.sum(1)
        light.opacity[:] = rays.radii[:, 0]
        return True
