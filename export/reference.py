"""The float32 eager model as the truth that artefacts are held against."""

import copy
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from export.format import Rendered
from export.rays import Rays, view_rays
from neurocity.contract import View
from neurocity.errors import MissingDependencyError
from neurocity.family import RenderModel


class Reference:
    """Renders with a copy of `model` on `device`, in float32 without autocast or TensorFloat-32.

    Views are rendered once and kept in a folder, for every format that is compared with them. The folder is
    temporary, and the context manager removes it, unless `kept` names one: it is then the caller's, and may
    hold views that another process rendered with the same model, device and `rays_per_call`.
    """

    def __init__(
        self, model: RenderModel, *, device: str, rays_per_call: int, kept: Path | None = None
    ) -> None:
        if device == "cuda" and not torch.cuda.is_available():
            raise MissingDependencyError("torch sees no CUDA device; --device cpu verifies on the CPU")
        self._model = copy.deepcopy(model).to(device).eval()
        self._device = device
        self._rays_per_call = rays_per_call
        self._temporary = None
        if kept is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="neurocity-reference-")
            kept = Path(self._temporary.name)
        self._kept = kept

    def __enter__(self) -> "Reference":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._temporary is not None:
            self._temporary.cleanup()

    def render(self, rays: Rays) -> Rendered:
        """The model's answer, computed in calls of at most `rays_per_call` rays."""
        chunks = self._each_chunk(rays, self._model)
        return Rendered(*(torch.cat(parts).float().cpu().numpy() for parts in zip(*chunks, strict=True)))

    def render_view(self, index: int, view: View) -> Rendered:
        """`render` of the rays of a view, remembered under `index`."""
        kept = self._kept / f"{index}.npz"
        if kept.exists():
            with np.load(kept) as arrays:
                return Rendered(*(arrays[name] for name in Rendered._fields))
        rendered = self.render(view_rays(view))
        # In one step, so that a process that is killed here leaves no half view to the next.
        unfinished = kept.with_name(f"unfinished-{index}.npz")
        np.savez(unfinished, **rendered._asdict())
        unfinished.rename(kept)
        return rendered

    def samples_needed(self, rays: Rays) -> np.ndarray:
        """How many samples of a fixed budget each ray needs to lose no light, [R] int64."""
        chunks = self._each_chunk(rays, self._model.samples_needed)
        return np.concatenate([count.cpu().numpy() for count in chunks])

    def _each_chunk(self, rays: Rays, compute: Callable[[Tensor, Tensor], Any]) -> list[Any]:
        results = []
        with torch.inference_mode(), torch.autocast(self._device, enabled=False), _full_float32():
            for start in range(0, len(rays.origins), self._rays_per_call):
                chunk = slice(start, start + self._rays_per_call)
                origins, directions = (torch.from_numpy(part[chunk]).to(self._device) for part in rays)
                results.append(compute(origins, directions))
        return results


@contextmanager
def _full_float32() -> Iterator[None]:
    precision = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(precision)
