"""The example that torch.export records a render graph with, whatever the graph becomes."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from export.renderer import MAX_RAYS
from neurocity.contract import RAY_DIRECTIONS, RAY_ORIGINS, RAY_RADII, TensorSpec

EXAMPLE_RAYS = 37
"""Not 0 or 1, which torch.export specialises on, and not a bound of the axis."""
_POINT = [0.0, 0.6, 0.8]
_ROWS = {RAY_ORIGINS: [0.0, 0.0, 0.0], RAY_DIRECTIONS: _POINT, RAY_RADII: [1e-3]}


def example_rays(
    inputs: tuple[TensorSpec, ...], device: torch.device | str, rays: int = EXAMPLE_RAYS
) -> tuple[Tensor, ...]:
    """`rays` equal rays, a tensor [rays, 3] or [rays, 1] for each of a graph's inputs."""
    return tuple(
        torch.tensor([_ROWS.get(spec.name, _POINT)], device=device).repeat(rays, 1) for spec in inputs
    )


def ray_axes(inputs: tuple[TensorSpec, ...]) -> tuple[dict[int, torch.export.Dim], ...]:
    """The dynamic axis of each input, which all of them share: 1 to `MAX_RAYS` rays."""
    rays = torch.export.Dim("rays", min=1, max=MAX_RAYS)
    return tuple({0: rays} for _ in inputs)


@contextmanager
def quiet_torch() -> Iterator[None]:
    """Hides that torch uses what it deprecates, as we do TorchScript, and that inputs share an axis."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"`isinstance\(treespec, LeafSpec\)` is deprecated", FutureWarning)
        warnings.filterwarnings("ignore", "# The axis name: rays will not be used", UserWarning)
        warnings.filterwarnings("ignore", r"`torch\.jit\.\w+` is deprecated", DeprecationWarning)
        yield
