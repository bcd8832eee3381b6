"""What the model answers, as files that travel with an artefact: the proof repeated without the model.

    golden/rays.npz          rays of every adversarial set and of the held-out views, with the model's answers
    golden/<view>.png        a held-out view, rendered by the model over the scene's background
    golden/<view>.npz        the same before rounding, of the view in which the artefact was worst

Views are rendered with at most `VIEW_PIXELS` pixels, so that the files of an artefact stay below a few MB.
"""

import hashlib
import io
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from export.parity.images import encode_png
from export.parity.pictures import file_stem
from export.parity.rays import adversarial_rays, view_rays
from neurocity.cameras import Camera, Rays
from neurocity.contract import ArtefactFile, Golden, GoldenView, SceneInfo, View
from neurocity.errors import ManifestError
from neurocity.light import Light, over_background, to_bytes

if TYPE_CHECKING:
    from export.parity.reference import Reference

FOLDER = "golden"
VIEW_PIXELS = 1 << 16
VIEWS = 4
"""How many held-out views are kept: the worst, and others evenly among the rest."""
HELD_OUT_RAYS = 4096
"""How many rays of held-out views are kept; more than the number that is rendered in several groupings."""


class Answered(NamedTuple):
    """Rays and what the model answers to them."""

    rays: Rays
    rendered: Light


def golden_files(reference: "Reference", info: SceneInfo, worst_view: int) -> tuple[Golden, dict[str, bytes]]:
    """The record of the golden files and their contents by path; `worst_view` is an index of `info.views`."""
    sets = adversarial_rays(info.bounds) | {"held-out rays": _sample(info.views)}
    answered = {name: Answered(rays, reference.render(rays)) for name, rays in sets.items()}
    files = {f"{FOLDER}/rays.npz": _pack_rays(answered)}
    views = []
    for index in _chosen(len(info.views), worst_view):
        view = golden_view(info.views[index])
        full_size = view == info.views[index]
        rendered = reference.render_view(index, view) if full_size else reference.render(view_rays(view))
        stem = f"{FOLDER}/{file_stem(index, view)}"
        image = over_background(rendered.rgb, rendered.opacity, info.background).reshape(
            view.height, view.width, 3
        )
        files[f"{stem}.png"] = encode_png(to_bytes(image))
        arrays = None
        if index == worst_view:
            files[f"{stem}.npz"] = _pack(rendered._asdict())
            arrays = _file(f"{stem}.npz", files[f"{stem}.npz"])
        picture = _file(f"{stem}.png", files[f"{stem}.png"])
        views.append(
            GoldenView(view=index, width=view.width, height=view.height, image=picture, arrays=arrays)
        )
    rays_file = _file(f"{FOLDER}/rays.npz", files[f"{FOLDER}/rays.npz"])
    return Golden(rays=rays_file, views=tuple(views)), files


def golden_view(view: View, pixels: int = VIEW_PIXELS) -> View:
    """The view itself, or with fewer pixels where it has more than `pixels`."""
    if view.width * view.height <= pixels:
        return view
    scale = math.sqrt(pixels / (view.width * view.height))
    width, height = (max(11, math.floor(side * scale)) for side in (view.width, view.height))
    return Camera.from_view(view).resized(width, height).to_view(view.name)


def read_rays(data: bytes, where: str) -> dict[str, Answered]:
    """Inverse of what `golden_files` writes. Raises ManifestError, naming `where`, on anything else."""
    arrays = _unpack(data, where, ("names", "counts", "origins", "directions", *Light._fields))
    ends = np.cumsum(arrays["counts"])
    shapes = [arrays[name].shape for name in ("origins", "directions", *Light._fields)]
    total = int(ends[-1]) if len(ends) else 0
    if len(arrays["names"]) != len(ends) or shapes != [(total, 3)] * 3 + [(total,)] * 2:
        raise ManifestError(f"{where}: its arrays have the shapes {shapes}, which do not fit each other")
    found = {}
    for name, start, end in zip(arrays["names"], [0, *ends[:-1]], ends, strict=True):
        part = slice(int(start), int(end))
        rays = Rays(arrays["origins"][part], arrays["directions"][part])
        found[str(name)] = Answered(rays, Light(*(arrays[field][part] for field in Light._fields)))
    return found


def read_render(data: bytes, where: str) -> Light:
    """A golden view before rounding. Raises ManifestError, naming `where`, when it is not one."""
    return Light(**_unpack(data, where, Light._fields))


def _chosen(count: int, worst: int) -> list[int]:
    """Indices of the views to keep."""
    others = [index for index in range(count) if index != worst]
    step = max(len(others) / (VIEWS - 1), 1)
    return sorted({worst, *(others[int(i * step)] for i in range(min(VIEWS - 1, len(others))))})


def _sample(views: tuple[View, ...]) -> Rays:
    """`HELD_OUT_RAYS` rays of pixels drawn among all views, the same for equal views."""
    generator = np.random.default_rng(0)
    share = np.bincount(generator.integers(len(views), size=HELD_OUT_RAYS), minlength=len(views))
    parts = []
    for view, count in zip(views, share, strict=True):
        if count:
            rays = view_rays(view)
            parts.append(rays[generator.integers(len(rays), size=count)])
    return Rays.joined(parts)


def _pack_rays(answered: Mapping[str, Answered]) -> bytes:
    rows = [(*answer.rays.arrays(), *answer.rendered) for answer in answered.values()]
    names = ("origins", "directions", *Light._fields)
    arrays = {name: np.concatenate(parts) for name, parts in zip(names, zip(*rows, strict=True), strict=True)}
    counts = np.array([len(row[0]) for row in rows])
    return _pack({"names": np.array(list(answered)), "counts": counts, **arrays})


def _pack(arrays: Mapping[str, np.ndarray]) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def _unpack(data: bytes, where: str, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            return {name: arrays[name] for name in names}
    except Exception as error:  # on foreign bytes zip and numpy raise whatever their steps run into
        raise ManifestError(f"{where}: cannot be read as golden arrays ({error}); export again") from None


def _file(name: str, data: bytes) -> ArtefactFile:
    return ArtefactFile(name=name, sha256=hashlib.sha256(data).hexdigest(), bytes=len(data))
