"""The model's own answer, float32 and eager: the truth that artefacts are held against.

It is computed by the definition in PyTorch, slow as that is: artefacts may hold the compiled kernels, and
would else be compared with themselves.
"""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from export.parity.rays import view_rays
from export.renderer import chunks, render_in_chunks
from neurocity.cameras import Rays
from neurocity.contract import View
from neurocity.device import check_device
from neurocity.family import RenderModel
from neurocity.light import Light
from neurocity.rendering.cpu_kernels import without_kernels


class Reference:
    """Renders with a copy of `model` on `device`, in float32 without autocast or TensorFloat-32.

    Views are rendered once and kept in the folder `kept`, which may hold views that another process rendered
    with the same model, device and `rays_per_call`. Raises MissingDependencyError as `check_device` does.
    """

    def __init__(self, model: RenderModel, *, device: str, rays_per_call: int, kept: Path) -> None:
        check_device(device)
        self._model = copy.deepcopy(model).to(device).eval()
        self._device = device
        self._rays_per_call = rays_per_call
        self._kept = kept

    def of(self, model: RenderModel, name: str) -> "Reference":
        """The same of another model, whose views are kept apart, under `name`."""
        kept = self._kept / name
        kept.mkdir(exist_ok=True)
        return Reference(model, device=self._device, rays_per_call=self._rays_per_call, kept=kept)

    @property
    def takes_ray_radii(self) -> bool:
        """Whether the model renders cones, whose radii `render` then wants."""
        return bool(self._model.needs_ray_radii)

    def render(self, rays: Rays) -> Light:
        """The model's answer, computed in calls of at most `rays_per_call` rays."""

        def render(chunk: Rays) -> Light:
            with without_kernels():
                outputs = self._compute(self._model, chunk)
            return Light(*(output.float().cpu().numpy() for output in outputs))

        return render_in_chunks(render, rays, self._rays_per_call)

    def render_view(self, index: int, view: View) -> Light:
        """`render` of the rays of a view, remembered under its `index` and size."""
        kept = self._kept / f"{index}-{view.width}x{view.height}.npz"
        if kept.exists():
            with np.load(kept) as arrays:
                return Light(*(arrays[name] for name in Light._fields))
        rendered = self.render(view_rays(view, radii=self.takes_ray_radii))
        # In one step: a process that is killed here leaves no half view to the next.
        unfinished = kept.with_name(f"unfinished-{kept.name}")
        np.savez(unfinished, **rendered._asdict())
        unfinished.rename(kept)
        return rendered

    def samples_needed(self, rays: Rays) -> np.ndarray:
        """How many samples of a fixed budget each ray needs to lose no light, [R] int64."""
        without_radii = Rays(rays.origins, rays.directions)
        parts = [
            self._compute(self._model.samples_needed, chunk)
            for chunk in chunks(without_radii, self._rays_per_call)
        ]
        return torch.cat(parts).cpu().numpy()

    def _compute(self, function: Callable[..., Any], rays: Rays) -> Any:
        with torch.inference_mode(), torch.autocast(self._device, enabled=False), _full_float32():
            return function(*(torch.from_numpy(part).to(self._device) for part in rays.arrays()))


@contextmanager
def _full_float32() -> Iterator[None]:
    precision = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(precision)
