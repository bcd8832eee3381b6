"""Images from render models: chunks, shapes, backgrounds."""

import pytest
import torch

from neurocity.data.datasets import ViewBatch
from neurocity.rendering import views
from neurocity.rendering.cpu_kernels import without_kernels
from neurocity.rendering.render import RayRender
from neurocity.rendering.views import over_background, render_rays
from neurocity.training.views import render_view


class Recorder:
    """Renders ray directions as colours, and remembers how many rays it was asked for at once."""

    needs_ray_radii = False

    def __init__(self) -> None:
        self.calls: list[int] = []

    def __call__(self, ray_origins: torch.Tensor, ray_directions: torch.Tensor) -> RayRender:
        assert not torch.is_grad_enabled()
        self.calls.append(len(ray_origins))
        return RayRender(ray_directions * 0.5, ray_origins[:, 0], ray_origins[:, 1])


@pytest.mark.parametrize("number", [0, 1, 7, 8, 9, 40])
def test_rays_are_rendered_in_calls_and_stay_in_order(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "RAYS_PER_CALL", 8)
    origins, directions = torch.rand(2, number, 3)
    model = Recorder()
    render = render_rays(model, origins, directions)
    assert torch.equal(render.rgb, directions * 0.5)
    assert torch.equal(render.depth, origins[:, 0])
    assert torch.equal(render.opacity, origins[:, 1])
    assert sum(model.calls) == number
    assert max(model.calls) <= 8


class RecorderByKernel(Recorder):
    def render_compiled(self, ray_origins: torch.Tensor, ray_directions: torch.Tensor) -> RayRender:
        return self(ray_origins, ray_directions)


def test_a_kernel_takes_more_rays_a_call_where_it_applies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "RAYS_PER_CALL", 8)
    monkeypatch.setattr(views, "RAYS_PER_KERNEL_CALL", 32)
    origins, directions = torch.rand(2, 40, 3)
    model = RecorderByKernel()
    render = render_rays(model, origins, directions)
    assert model.calls == [32, 8]
    assert torch.equal(render.rgb, directions * 0.5)
    with without_kernels():
        render_rays(model, origins, directions)
    assert model.calls[2:] == [8] * 5


@pytest.mark.parametrize("needs_ray_radii", [False, True])
def test_radii_go_to_the_models_that_need_them(
    needs_ray_radii: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Cones:
        def __init__(self) -> None:
            self.needs_ray_radii = needs_ray_radii

        def __call__(
            self, ray_origins: torch.Tensor, _: torch.Tensor, radii: torch.Tensor | None = None
        ) -> RayRender:
            depth = torch.zeros(len(ray_origins)) if radii is None else radii[:, 0]
            return RayRender(ray_origins, depth, depth)

    monkeypatch.setattr(views, "RAYS_PER_CALL", 4)
    origins, radii = torch.rand(10, 3), torch.rand(10, 1)
    with_radii, without = (
        render_rays(Cones(), origins, origins, radii),
        render_rays(Cones(), origins, origins),
    )
    assert torch.equal(with_radii.depth, radii[:, 0] * needs_ray_radii)
    assert not bool(without.depth.any())


def test_background_shows_where_nothing_is() -> None:
    rgb = torch.tensor([[0.25, 0.0, 0.0], [0.0, 0.0, 0.0], [0.9, 0.9, 0.9]])
    opacity = torch.tensor([0.5, 0.0, 1.0])
    over = over_background(rgb, opacity, (1.0, 0.5, 0.0))
    expected = torch.tensor([[0.75, 0.25, 0.0], [1.0, 0.5, 0.0], [0.9, 0.9, 0.9]])
    torch.testing.assert_close(over, expected)
    assert torch.equal(over_background(rgb, opacity, None), rgb)


def test_images_stay_between_black_and_white() -> None:
    over = over_background(torch.tensor([[1.5, -0.5, 0.5]]), torch.tensor([1.0]), (1.0, 1.0, 1.0))
    assert over.tolist() == [[1.0, 0.0, 0.5]]


def test_an_image_and_its_truth_lie_on_the_same_background() -> None:
    number = 2 * 3
    origins = torch.rand(number, 3)
    rgba = torch.rand(number, 4)
    view = ViewBatch(
        ray_origins=origins,
        ray_directions=rgba[:, :3],
        ray_radii=rgba[:, :1],
        rgba=rgba,
        height=2,
        width=3,
        name="view",
    )
    image, truth = render_view(Recorder(), view, (0.2, 0.4, 0.6))
    assert image.shape == truth.shape == (2, 3, 3)
    background = torch.tensor([0.2, 0.4, 0.6])
    torch.testing.assert_close(
        truth.view(-1, 3), rgba[:, :3] * rgba[:, 3:] + (1.0 - rgba[:, 3:]) * background
    )
    expected = rgba[:, :3] * 0.5 + (1.0 - origins[:, 1:2]) * background
    torch.testing.assert_close(image.view(-1, 3), expected.clamp(0.0, 1.0))
    torch.testing.assert_close(image[1, 2], image.view(-1, 3)[5], msg="row-major")
