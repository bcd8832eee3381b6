"""The render graph with a fixed number of samples a ray: the packed one's light, of every family."""

import pytest
import torch
from family_models import assert_equal_renders, defined, model_of, rays

from neurocity.errors import ConfigError
from neurocity.families import FAMILIES

pytestmark = pytest.mark.parametrize("family", FAMILIES)


def needed(family: str, unbounded: bool) -> torch.Tensor:
    with torch.inference_mode():
        return model_of(family, unbounded).samples_needed(*rays())


@pytest.mark.parametrize("unbounded", [False, True])
def test_it_is_the_packed_graph_while_the_budget_suffices(family: str, unbounded: bool) -> None:
    model, count = model_of(family, unbounded), int(needed(family, unbounded).max())
    fixed = model.fixed_budget(count)
    assert {id(parameter) for parameter in fixed.parameters()} == {id(p) for p in model.parameters()}
    assert_equal_renders(fixed(*rays()), defined(model, *rays()), 3e-5)


def test_each_ray_alone_needs_what_it_is_said_to_need(family: str) -> None:
    model, counts = model_of(family, False), needed(family, False)
    assert counts.dtype == torch.int64
    assert counts.shape == (len(rays()[0]),)
    for ray in range(0, len(counts), 40):
        one = [part[ray : ray + 1] for part in rays()]
        fixed = model.fixed_budget(max(1, int(counts[ray])))
        assert_equal_renders(fixed(*one), model(*one), 3e-5)


def test_too_small_a_budget_takes_light_from_the_back(family: str) -> None:
    model, counts = model_of(family, False), needed(family, False)
    most = int(counts.max())
    if family == "mip_nerf":
        with pytest.raises(ConfigError, match=f"got {most - 1}, Mip-NeRF takes {most} a ray"):
            model.fixed_budget(most - 1)
        return
    full = model(*rays())
    before = torch.zeros_like(full.opacity)
    for budget in (most // 8, most // 4, most // 2, most):
        render = model.fixed_budget(budget)(*rays())
        assert bool((render.opacity >= before - 1e-5).all()), "more samples never take light away"
        assert bool((render.opacity <= full.opacity + 3e-5).all())
        # What is there is the front: as much light from nearer.
        distance, all_distance = render.depth * render.opacity, full.depth * full.opacity
        assert bool((distance <= all_distance + 1e-3).all())
        enough = counts <= budget
        assert_equal_renders([v[enough] for v in render], [v[enough] for v in full], 3e-5)
        before = render.opacity
    assert float((full.opacity - model.fixed_budget(most // 8)(*rays()).opacity).max()) > 1e-3


@pytest.mark.parametrize("unbounded", [False, True])
def test_a_ray_does_not_depend_on_the_others(family: str, unbounded: bool) -> None:
    model, (origins, directions) = model_of(family, unbounded), rays()
    fixed = model.fixed_budget(int(needed(family, unbounded).max()))
    together = fixed(origins, directions)
    parts = [fixed(*part) for part in zip(origins.split(37), directions.split(37), strict=True)]
    assert_equal_renders([torch.cat(planes) for planes in zip(*parts, strict=True)], together, 1e-6)
    assert_equal_renders(fixed(origins[:1], directions[:1]), [value[:1] for value in together], 1e-6)
