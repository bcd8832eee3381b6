"""Photographs of a city: supersampled colour under sun and sky, and exact depth at the pixel centres."""

import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from neurocity.cameras import Camera
from neurocity.data.city.materials import Materials
from neurocity.data.city.mesh import Mesh
from neurocity.data.city.noise import Floats
from neurocity.data.city.raycast import Hits, RayCaster
from neurocity.data.city.sky import Sky
from neurocity.data.city.skylight import SkyLight
from neurocity.data.city.styles import Color
from neurocity.data.city.surface import Surface

RAYS_PER_BAND = 65_536
SUN_RADIUS = math.radians(0.6)
SUN_LIGHT: Color = (1.66, 1.54, 1.34)
SKY_LIGHT: Color = (0.48, 0.59, 0.76)
BOUNCE_LIGHT: Color = (0.26, 0.235, 0.205)
SHOULDER = 0.55
"""Radiance above this is compressed towards 1 instead of clipped."""
FILTER_STRETCH_MAX = 12.0


class Photograph(NamedTuple):
    """A picture and its depth.

    image: uint8 [H, W, 3], sRGB, or [H, W, 4] with straight alpha when the city is cut out.
    depth: float32 [H, W], z-depth in metres, 0 where there is only sky.
    """

    image: npt.NDArray[np.uint8]
    depth: Floats


class CityRenderer:
    """A built city with its light. Threads may share it.

    cutout: box (low corner, high corner) in metres outside of which pictures are transparent, if any.
    """

    def __init__(
        self,
        mesh: Mesh,
        styles: npt.NDArray[np.void],
        materials: Materials,
        *,
        sky: Sky,
        cutout: tuple[list[float], list[float]] | None = None,
    ) -> None:
        self._cutout = cutout
        self._mesh = mesh
        self._styles = styles
        self._materials = materials
        self._sky = sky
        self._caster = RayCaster(mesh)
        self._sky_light = SkyLight(mesh, self._caster)
        self._normals = mesh.normals.astype(np.float32)
        self._lengths = mesh.lengths.astype(np.float32)
        edges = np.stack([mesh.edge_u, mesh.edge_v], axis=1)
        self._axes = (edges / np.linalg.norm(edges, axis=2, keepdims=True)).astype(np.float32)
        self._center = mesh.center.astype(np.float32)

    def photograph(self, camera: Camera, samples_per_axis: int) -> Photograph:
        """One view; a pixel's colour is the mean of samples_per_axis^2 rays, its depth that of its centre."""
        rows = max(1, RAYS_PER_BAND // (camera.width * samples_per_axis**2))
        bands = [
            replace(camera, height=min(rows, camera.height - first), cy=camera.cy - first)
            for first in range(0, camera.height, rows)
        ]
        return Photograph(
            image=np.concatenate([self._image(band, samples_per_axis) for band in bands]),
            depth=np.concatenate([self._depth(band) for band in bands]),
        )

    def _image(self, camera: Camera, samples_per_axis: int) -> npt.NDArray[np.uint8]:
        n = samples_per_axis
        fine = camera.resized(camera.width * n, camera.height * n)
        ray_origins, ray_directions = fine.rays().arrays()
        row, column = np.divmod(np.arange(len(ray_directions)), fine.width)
        sun = self._sun_directions(n)[row % n * n + column % n]
        colors = _tone_map(self._radiance(ray_origins, ray_directions, sun, spread=1 / fine.fl_y))
        samples = colors.reshape(camera.height, n, camera.width, n, 3)
        if self._cutout is None:
            return _encode_srgb(samples.mean(axis=(1, 3), dtype=np.float64))
        inside = self._inside(ray_origins, ray_directions).reshape(samples.shape[:4])[..., None]
        count = inside.sum(axis=(1, 3))
        mean = (samples * inside).sum(axis=(1, 3), dtype=np.float64) / np.maximum(count, 1)
        alpha = np.rint(255.0 * count / n**2).astype(np.uint8)
        return np.concatenate([_encode_srgb(mean), alpha], axis=-1)

    def _inside(self, ray_origins: Floats, ray_directions: Floats) -> npt.NDArray[np.bool_]:
        """Which rays [R, 3] end on a surface inside of the cut-out box."""
        hits = self._caster.first_hits(ray_origins, ray_directions)
        ends = ray_origins + ray_directions * np.where(hits.patch >= 0, hits.distance, 0.0)[:, None]
        low, high = np.array(self._cutout)
        return (hits.patch >= 0) & ((ends >= low) & (ends <= high)).all(axis=1)

    def _depth(self, camera: Camera) -> Floats:
        in_camera = camera.camera_directions()
        directions = in_camera @ camera.camera_to_world[:3, :3].T
        hits = self._caster.first_hits(np.broadcast_to(camera.position, directions.shape), directions)
        depth = np.where(hits.patch >= 0, -in_camera[:, 2] * hits.distance, 0.0)
        return depth.astype(np.float32).reshape(camera.height, camera.width)

    def _sun_directions(self, samples_per_axis: int) -> Floats:
        """Directions over the sun's disc, one for each sample of a pixel: soft shadows without noise."""
        count = samples_per_axis**2
        index = np.arange(count)
        radius = SUN_RADIUS * np.sqrt((index + 0.5) / count) if count > 1 else np.zeros(1)
        angle = index * math.pi * (3 - math.sqrt(5))
        sun = self._sky.sun.astype(np.float64)
        side = np.cross(sun, (0.0, 0.0, 1.0) if abs(sun[2]) < 0.9 else (1.0, 0.0, 0.0))
        side /= np.linalg.norm(side)
        offset = np.cos(angle)[:, None] * side + np.sin(angle)[:, None] * np.cross(sun, side)
        directions = sun + radius[:, None] * offset
        return (directions / np.linalg.norm(directions, axis=1, keepdims=True)).astype(np.float32)

    def _radiance(self, ray_origins: Floats, ray_directions: Floats, sun: Floats, *, spread: float) -> Floats:
        """[R, 3] linear radiance along rays; spread: angle in radians between neighbouring rays."""
        hits = self._caster.first_hits(ray_origins, ray_directions)
        hit = hits.patch >= 0
        radiance = np.empty((len(hit), 3), dtype=np.float32)
        radiance[~hit] = self._sky.radiance(ray_directions[~hit])
        on_patch = Hits._make(values[hit] for values in hits)
        origins, directions = ray_origins[hit], ray_directions[hit]
        surface = self._surface(on_patch, origins, directions, spread=spread)
        albedo, emission, gloss = self._materials.paint(surface)
        sky_seen = self._sky_light.at(on_patch)[:, None]
        cosine = np.clip(np.einsum("rk,rk->r", surface.normal, sun[hit]), 0, 1)
        lit = np.flatnonzero(cosine > 0)
        lifted = surface.position[lit] + np.float32(0.02) * self._facing(on_patch.patch[lit], directions[lit])
        cosine[lit] *= ~self._caster.occluded(lifted, sun[hit][lit])
        irradiance = (
            cosine[:, None] * np.array(SUN_LIGHT, dtype=np.float32)
            + sky_seen * np.array(SKY_LIGHT, dtype=np.float32)
            + (1 - 0.6 * sky_seen) * np.array(BOUNCE_LIGHT, dtype=np.float32)
        )
        along_normal = np.einsum("rk,rk->r", directions, surface.normal)
        mirrored = directions - 2 * along_normal[:, None] * surface.normal
        grazing = 1 - np.abs(along_normal)
        share = (gloss * (1 + 5 * grazing**5))[:, None]
        reflection = share * (0.3 + 0.7 * sky_seen) * self._sky.horizon(mirrored)
        radiance[hit] = albedo * irradiance + emission + reflection
        return radiance

    def _facing(self, patch: npt.NDArray[np.int64], directions: Floats) -> Floats:
        """Plane normals, turned towards where the rays come from."""
        normal = self._normals[patch]
        return np.where(np.einsum("rk,rk->r", normal, directions)[:, None] > 0, -normal, normal)

    def _surface(self, hits: Hits, origins: Floats, directions: Floats, *, spread: float) -> Surface:
        patch = hits.patch
        distance = hits.distance.astype(np.float32)
        position = origins + distance[:, None] * directions
        normal = self._facing(patch, directions)
        approach = np.maximum(np.abs(np.einsum("rk,rk->r", normal, directions)), np.float32(1e-3))
        # A ray's footprint grows by 1 / cos along the direction in which the plane falls away.
        slant = np.einsum("rak,rk->ra", self._axes[patch], directions) / approach[:, None]
        stretch = np.minimum(np.sqrt(1 + slant**2), np.float32(FILTER_STRETCH_MAX))
        filters = (distance * np.float32(spread))[:, None] * stretch
        length, top = self._lengths[patch].T
        center = self._center[patch]
        outwards = position - center
        outwards /= np.maximum(np.linalg.norm(outwards, axis=1, keepdims=True), np.float32(1e-6))
        return Surface(
            position=position,
            normal=np.where(np.isfinite(center), outwards, normal),
            s=hits.u * length,
            t=hits.v * top,
            length=length,
            top=top,
            filter_s=filters[:, 0],
            filter_t=filters[:, 1],
            patch=patch,
            style=self._styles[self._mesh.style[patch]],
        )


def _tone_map(radiance: Floats) -> Floats:
    room = np.float32(1 - SHOULDER)
    return np.where(
        radiance < SHOULDER, radiance, 1 - room * np.exp((SHOULDER - np.maximum(radiance, SHOULDER)) / room)
    )


def _encode_srgb(linear: npt.NDArray[np.float64]) -> npt.NDArray[np.uint8]:
    """Linear [0, 1] as 8-bit sRGB (IEC 61966-2-1)."""
    encoded = np.where(
        linear <= 0.0031308, 12.92 * linear, 1.055 * np.maximum(linear, 0) ** (1 / 2.4) - 0.055
    )
    return np.round(encoded * 255).astype(np.uint8)
