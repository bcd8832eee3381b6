"""A program of PyTorch that was opened again: rendering with it, and what it takes and gives."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from export.example_rays import example_rays
from export.format import Signature
from export.renderer import Renderer
from neurocity.cameras import Rays
from neurocity.contract import TensorSpec
from neurocity.light import Light
from neurocity.triton_names import Naming

Program = Callable[..., Sequence[Tensor]]


def renderer(program: Program, device: str) -> Renderer:
    """The program on `device`, from arrays to arrays."""

    def render(rays: Rays) -> Light:
        with torch.inference_mode():
            inputs = (torch.from_numpy(part).to(device) for part in rays.arrays())
            return Light(*(output.cpu().numpy() for output in program(*inputs)))

    return render


def signature(program: Program, inputs: tuple[TensorSpec, ...], device: str, naming: Naming) -> Signature:
    """What the program takes, and what it gives to 2 and to 3 rays, under the names of Triton's backend.

    An axis as long as there are rays, both times, is the ray axis.
    """
    with torch.inference_mode():
        few, more = (program(*example_rays(inputs, device, rays)) for rays in (2, 3))
    named = Signature.named(naming, inputs)
    names = (spec.name for spec in named.outputs)
    return named._replace(outputs=tuple(_spec(*each) for each in zip(names, few, more, strict=True)))


def _spec(name: str, few: Tensor, more: Tensor) -> TensorSpec:
    shape: tuple[Any, ...] = tuple(
        "rays" if (a, b) == (2, 3) else a for a, b in zip(few.shape, more.shape, strict=True)
    )
    return TensorSpec(name=name, dtype=str(few.dtype).removeprefix("torch."), shape=shape)
