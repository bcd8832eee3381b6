"""Every family's `cpu` model with random weights, rays for it, and what is compared of its renders."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache

import torch
from tiny_families import tiny_model

from neurocity.cameras import Camera
from neurocity.families import FAMILIES
from neurocity.poses import look_at
from neurocity.rendering.cpu_kernels import without_kernels
from neurocity.rendering.marched_field import TERMINATION_ROUNDS, MarchedField

BOUNDS = (-1.0, -1.2, -0.8, 1.0, 0.9, 1.1)


@cache
def model_of(family: str, unbounded: bool) -> torch.nn.Module:
    """The family's `cpu` model with `random_weights`."""
    config = FAMILIES[family].config_class().preset("cpu").for_scene(BOUNDS, unbounded)
    torch.manual_seed(0)
    return random_weights(FAMILIES[family].model_class()(config))


@cache
def tiny_model_of(family: str, unbounded: bool, **changes: object) -> torch.nn.Module:
    """`tiny_module` with `random_weights`."""
    return random_weights(tiny_module(family, unbounded, **changes))


def tiny_module(family: str, unbounded: bool, **changes: object) -> torch.nn.Module:
    """A model that is exported soon, with weights as training starts with them.

    Fields are marched in two rounds, not three: a third is more of the same, and a third of the graph.
    """
    torch.manual_seed(0)
    config = replace(tiny_model(family), **changes).for_scene(BOUNDS, unbounded)
    model = FAMILIES[family].model_class()(config)
    if isinstance(model, MarchedField):
        model.termination_rounds = (8, TERMINATION_ROUNDS[-1])
    return model.eval().requires_grad_(False)


def random_weights(model: torch.nn.Module) -> torch.nn.Module:
    """The model in eval mode with random weights that are large enough to show colours and surfaces."""
    for parameter in model.parameters():
        fan_in = parameter.shape[-1] if parameter.dim() == 2 else 1
        parameter.data = torch.randn(parameter.shape) * (2.0 / fan_in) ** 0.5
    return model.eval().requires_grad_(False)


@cache
def rays() -> tuple[torch.Tensor, torch.Tensor]:
    """A picture of 13 x 11 rays, and rays that miss, start inside and run along axes: 167, a prime."""
    camera = Camera.from_fov_y(look_at((2.6, 0.4, 1.0), (0, 0, 0), (0, 0, 1)), 13, 11, 45.0)
    seen = [torch.from_numpy(part) for part in camera.rays().arrays()]
    axes = torch.cat([torch.eye(3), -torch.eye(3)])
    inside = torch.tensor([[0.1, -0.2, 0.3]]).expand(6, 3)
    away = torch.nn.functional.normalize(torch.tensor([[1.0, 2.0, 3.0], [-1.0, 0.5, 0.0]]), dim=1).repeat(
        6, 1
    )
    origins = torch.cat([seen[0], inside, inside - 4.0 * axes, 5.0 * away])
    directions = torch.cat([seen[1], axes, axes, away])
    return origins.contiguous(), directions.contiguous()


@contextmanager
def deprecations_known() -> Iterator[None]:
    """TorchScript is deprecated and still asked for; the exporter uses what torch deprecates."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.filterwarnings("ignore", "`isinstance.treespec, LeafSpec.` is deprecated", FutureWarning)
        warnings.filterwarnings("ignore", "# The axis name: rays will not be used", UserWarning)
        yield


def defined(model: torch.nn.Module, *rays: torch.Tensor) -> object:
    """What the model renders by its definition, which graphs are recorded from."""
    with without_kernels():
        return model(*rays)


def assert_equal_renders(one: object, two: object, tolerance: float = 1e-5) -> None:
    for name, a, b in zip(("rgb", "depth", "opacity"), one, two, strict=True):  # type: ignore[call-overload]
        torch.testing.assert_close(
            a, b, atol=tolerance, rtol=tolerance, msg=lambda text, n=name: f"{n}: {text}"
        )
