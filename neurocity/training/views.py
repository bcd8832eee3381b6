"""Held-out views as a model renders them, beside what was photographed."""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor

from neurocity.data.datasets import ViewBatch
from neurocity.rendering.render import RaysToLight
from neurocity.rendering.views import over_background, render_rays


def on_device(view: ViewBatch, device: torch.device | str) -> ViewBatch:
    """The view with its tensors on `device`."""
    moved = {name: value.to(device) if isinstance(value, Tensor) else value for name, value in view.items()}
    return cast(ViewBatch, moved)


def render_view(
    model: RaysToLight, view: ViewBatch, background: Sequence[float] | None
) -> tuple[Tensor, Tensor]:
    """The view as `model` renders it and as it is, both over `background`: [H, W, 3] in [0, 1]."""
    shape = (int(view["height"]), int(view["width"]), 3)
    render = render_rays(model, view["ray_origins"], view["ray_directions"], view["ray_radii"])
    color, alpha = view["rgba"][:, :3], view["rgba"][:, 3]
    image = over_background(render.rgb, render.opacity, background)
    truth = over_background(color * alpha[:, None], alpha, background)
    return image.view(shape), truth.view(shape)
