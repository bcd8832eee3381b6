"""Rays on their way through an engine: into a graph's inputs, in tiles, back as light that was looked at."""

import time
from collections.abc import Awaitable, Callable

import numpy as np

from neurocity.cameras import Rays
from neurocity.contract import RENDER_OUTPUTS, SceneManifest
from neurocity.errors import EngineError
from neurocity.light import Float32, Light
from serving.engines.base import OpenVersion
from serving.parts import in_parts

CANARY_TIMEOUT_SECONDS = 10.0

Inputs = dict[str, Float32]
"""Name of a graph's input (of the contract) -> its values, [R, 3] or [R, 1]."""


def graph_inputs(manifest: SceneManifest, rays: Rays) -> Inputs:
    """The rays as the inputs of the scene's graph, contiguous.

    Raises EngineError unless they are float32 arrays of R >= 1 rays, with radii exactly where the scene takes
    them.
    """
    arrays = rays.arrays()
    if len(arrays) != len(manifest.inputs):
        got, takes = ("with" if count > 2 else "without" for count in (len(arrays), len(manifest.inputs)))
        raise EngineError(f"scene {manifest.scene!r} takes rays {takes} ray_radii, got rays {got} them")
    inputs = {}
    for spec, array in zip(manifest.inputs, arrays, strict=True):
        if array.dtype != np.float32 or array.ndim != 2 or not len(array) or array.shape[1] != spec.shape[1]:
            raise EngineError(
                f"{spec.name}: got {array.dtype} {list(array.shape)}, expected float32 [R, {spec.shape[1]}] "
                "with R >= 1"
            )
        if len(array) != len(rays):
            raise EngineError(f"got {len(rays)} {manifest.inputs[0].name} but {len(array)} {spec.name}")
        inputs[spec.name] = np.ascontiguousarray(array)
    return inputs


async def render_in_calls(
    call: Callable[[Inputs], Awaitable[Light]], inputs: Inputs, rays_per_call: int, at_once: int = 1
) -> Light:
    """Light of R rays by calls with at most `rays_per_call` of them; see `parts.in_parts`."""
    rays = len(next(iter(inputs.values())))
    if rays <= rays_per_call:
        return await call(inputs)

    def compute(part: slice) -> Awaitable[Light]:
        return call({name: array[part] for name, array in inputs.items()})

    parts = (slice(start, start + rays_per_call) for start in range(0, rays, rays_per_call))
    return await in_parts(rays, parts, compute, at_once)


def check_light(scene: str, rays: int, light: Light) -> Light:
    """`light` itself; raises EngineError unless it is finite float32 of the contract's shapes."""
    for spec, array in zip(RENDER_OUTPUTS, light, strict=True):
        shape = (rays, *spec.shape[1:])
        if array.dtype != np.float32 or array.shape != shape:
            raise EngineError(
                f"scene {scene!r}: got {spec.name} as {array.dtype} {list(array.shape)}, "
                f"expected float32 {list(shape)}"
            )
        finite = np.isfinite(array)
        if not finite.all():  # a third of the time that counting takes
            raise EngineError(
                f"scene {scene!r}: {np.count_nonzero(~finite)} values of {spec.name} are not finite"
            )
    return light


async def render_canary(opened: OpenVersion) -> None:
    """Render a ray of an opened version; raises as `OpenVersion.render`."""
    await opened.render(canary_ray(opened.manifest), time.monotonic() + CANARY_TIMEOUT_SECONDS)


def canary_ray(manifest: SceneManifest) -> Rays:
    """One ray through the scene's box, from its lowest corner to its highest, with a radius if it takes one:
    0, which stands for the mean of the training cameras.
    """
    bounds = np.array(manifest.info.bounds, np.float64)
    diagonal = bounds[3:] - bounds[:3]
    direction = diagonal / np.linalg.norm(diagonal)
    radii = np.zeros((1, 1), np.float32) if manifest.takes_ray_radii else None
    return Rays(bounds[None, :3].astype(np.float32), direction[None].astype(np.float32), radii)
