"""Stored answers: what the model answers, as files that travel with an artefact.

    golden/rays.npz          rays of every adversarial set and of the held-out views, with the model's answers
    golden/<view>.png        a held-out view, rendered by the model over the scene's background
    golden/<view>.npz        the same before rounding, of the view in which the artefact was worst

Views are rendered with at most `VIEW_PIXELS` pixels, so that the files of an artefact stay below a few MB.
Where the model takes the radii of cones, rays have them, and there are rays of views at every size.
"""

import io
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from export.parity.metrics import SSIM_WINDOW
from export.parity.pictures import file_stem
from export.parity.rays import SCALES, adversarial_rays, scaled_view, view_rays
from neurocity.cameras import Camera, Rays
from neurocity.contract import Golden, GoldenView, SceneInfo, View, file_record
from neurocity.golden import Answered, read_arrays
from neurocity.light import Light, over_background, to_bytes
from neurocity.pictures.png import encode_png

if TYPE_CHECKING:
    from export.parity.reference import Reference

FOLDER = "golden"
VIEW_PIXELS = 1 << 16
VIEWS = 4
"""How many held-out views are kept: the worst, and others evenly among the rest."""
HELD_OUT_RAYS = 4096
"""How many rays of held-out views are kept; more than the number that is rendered in several groupings."""


def golden_files(reference: "Reference", info: SceneInfo, worst_view: int) -> tuple[Golden, dict[str, bytes]]:
    """The record of the golden files and their contents by path; `worst_view` is an index of `info.views`."""
    radii = reference.takes_ray_radii
    sets = adversarial_rays(info.bounds, radii=radii) | {"held-out rays": _sample(info.views, radii)}
    for scale in SCALES if radii else ():
        views = tuple(scaled_view(view, scale) for view in info.views)
        sets[f"held-out rays at 1/{scale}"] = _sample(views, radii)
    answered = {name: Answered(rays, reference.render(rays)) for name, rays in sets.items()}
    files = {f"{FOLDER}/rays.npz": _pack_rays(answered)}
    kept = []
    for index in chosen_views(len(info.views), worst_view):
        view = golden_view(info.views[index])
        rendered = reference.render_view(index, view)
        stem = f"{FOLDER}/{file_stem(index, view)}"
        image = over_background(rendered.rgb, rendered.opacity, info.background).reshape(
            view.height, view.width, 3
        )
        files[f"{stem}.png"] = encode_png(to_bytes(image))
        arrays = None
        if index == worst_view:
            files[f"{stem}.npz"] = _pack(rendered._asdict())
            arrays = file_record(f"{stem}.npz", files[f"{stem}.npz"])
        picture = file_record(f"{stem}.png", files[f"{stem}.png"])
        kept.append(
            GoldenView(view=index, width=view.width, height=view.height, image=picture, arrays=arrays)
        )
    rays_file = file_record(f"{FOLDER}/rays.npz", files[f"{FOLDER}/rays.npz"])
    return Golden(rays=rays_file, views=tuple(kept)), files


def golden_view(view: View, pixels: int = VIEW_PIXELS) -> View:
    """The view itself, or with fewer pixels where it has more than `pixels`."""
    if view.width * view.height <= pixels:
        return view
    scale = math.sqrt(pixels / (view.width * view.height))
    width, height = (max(SSIM_WINDOW, math.floor(side * scale)) for side in (view.width, view.height))
    return Camera.from_view(view).resized(width, height).to_view(view.name)


def read_render(data: bytes, where: str) -> Light:
    """A golden view before rounding. Raises ManifestError, naming `where`, when it is not one."""
    return Light(**read_arrays(data, where, Light._fields))


def chosen_views(count: int, worst: int) -> list[int]:
    """Indices of the views to keep."""
    others = [index for index in range(count) if index != worst]
    step = max(len(others) / (VIEWS - 1), 1)
    return sorted({worst, *(others[int(i * step)] for i in range(min(VIEWS - 1, len(others))))})


def _sample(views: tuple[View, ...], radii: bool) -> Rays:
    """`HELD_OUT_RAYS` rays of pixels drawn among all views, the same for equal views."""
    generator = np.random.default_rng(0)
    share = np.bincount(generator.integers(len(views), size=HELD_OUT_RAYS), minlength=len(views))
    parts = []
    for view, count in zip(views, share, strict=True):
        if count:
            rays = view_rays(view, radii=radii)
            parts.append(rays[generator.integers(len(rays), size=count)])
    return Rays.joined(parts)


def _pack_rays(answered: Mapping[str, Answered]) -> bytes:
    rays = Rays.joined([answer.rays for answer in answered.values()])
    light = Light(*map(np.concatenate, zip(*(answer.rendered for answer in answered.values()), strict=True)))
    inputs = dict(zip(("origins", "directions", "radii"), rays.arrays(), strict=False))
    counts = np.array([len(answer.rays) for answer in answered.values()])
    return _pack({"names": np.array(list(answered)), "counts": counts, **inputs, **light._asdict()})


def _pack(arrays: Mapping[str, np.ndarray]) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()
