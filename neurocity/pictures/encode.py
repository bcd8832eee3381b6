"""Rendered light to encoded pictures. There is no other way.

The work is in steps (see `steps`). Pixels and numbers are made in strips of rows, and PNG and npy are
written in strips, too; whoever drives the work may stop between two of them. Pillow encodes JPEG and WebP
whole, as OpenEXR does its files: such a piece runs to its end once it has begun.
"""

from collections.abc import Sequence
from functools import partial

import numpy as np

from neurocity.cameras import Camera
from neurocity.contract import SceneInfo
from neurocity.light import Bytes, Float32, Light, over_background, to_bytes
from neurocity.pictures.depth import (
    DEPTH_KIND,
    NOTHING,
    Counts,
    colour_depth,
    depth_range,
    depth_scale,
    has_depth,
    quantise_depth,
)
from neurocity.pictures.encoded import MEDIA_TYPES, EncodedImage, Notes, encode_lossy, npy_header
from neurocity.pictures.exr import COLOUR_SPACE, encode_exr, linear_rgba
from neurocity.pictures.normals import normals_from_depth
from neurocity.pictures.options import DEFAULT_QUALITY, RenderOptions
from neurocity.pictures.png import STRIP_PIXELS, PixelRows, png
from neurocity.pictures.steps import Steps, Whole, do, strips


def encode(light: Light, camera: Camera, info: SceneInfo, options: RenderOptions) -> EncodedImage:
    """The picture of light [H, W] as the options want it.

    camera: that the light is seen by; its position plays no part. info: of the scene, for its background.
    """
    return do(encoding(light, camera, info, options))


def to_pixels(light: Light, camera: Camera, info: SceneInfo, options: RenderOptions) -> tuple[Bytes, Notes]:
    """The picture as bytes [H, W, 3], or [H, W] of an opacity, and what explains them.

    Arguments are as those of `encode`, whatever format the options say; a depth must have a colormap.
    """
    return do(pixels_of(light, camera, info, options))


def encoding(light: Light, camera: Camera, info: SceneInfo, options: RenderOptions) -> Steps[EncodedImage]:
    """The work of `encode`."""
    if options.format == "exr":
        return (yield from _exr(light, camera, info, options))
    if options.format == "npy":
        return (yield from _npy(light, camera, info, options))
    if options.format == "png":
        pixels, notes = yield from _rows(light, camera, info, options)
        data = yield from png(pixels, notes)
        return EncodedImage(data=data, media_type=MEDIA_TYPES["png"], notes=notes)
    made, notes = yield from pixels_of(light, camera, info, options)
    quality = options.quality or DEFAULT_QUALITY
    (image,) = yield Whole([partial(encode_lossy, made, options.format, quality, notes)])
    return image


def pixels_of(
    light: Light, camera: Camera, info: SceneInfo, options: RenderOptions
) -> Steps[tuple[Bytes, Notes]]:
    """The work of `to_pixels`."""
    pixels, notes = yield from _rows(light, camera, info, options)
    made = np.empty(pixels.shape, pixels.dtype)

    def fill(part: slice) -> None:
        made[part] = pixels.rows(part)

    yield [partial(fill, part) for part in _strips(light)]
    return made, notes


def bare_pixels(light: Light, camera: Camera, info: SceneInfo, options: RenderOptions) -> Steps[EncodedImage]:
    """The work of `to_pixels`, as bytes of the pixels row after row, for whoever encodes them himself."""
    pixels, notes = yield from pixels_of(light, camera, info, options)
    (data,) = yield [pixels.tobytes]
    return EncodedImage(data=data, media_type="application/octet-stream", notes=notes)


def values(
    light: Light, camera: Camera, info: SceneInfo, options: RenderOptions, part: slice = slice(None)
) -> Float32:
    """The output as numbers: rgb over its background and opacity in [0, 1], depth, normals in [-1, 1].

    part: the rows that are wanted.
    """
    if options.output == "depth":
        return light.depth[part]
    if options.output == "opacity":
        return light.opacity[part]
    if options.output == "normal":
        return normals_from_depth(light, camera, options.axes or "world", part)
    background = info.background if options.background == "scene" else options.background
    return over_background(light.rgb[part], light.opacity[part], background)


def _strips(light: Light) -> Sequence[slice]:
    height, width = light.depth.shape
    return strips(height, width, STRIP_PIXELS)


def _rows(
    light: Light, camera: Camera, info: SceneInfo, options: RenderOptions
) -> Steps[tuple[PixelRows, Notes]]:
    """The pixels of an image, and what explains them; of a depth, its range is found first."""
    size, notes = light.depth.shape, _notes(options)
    if options.output == "depth":
        return (yield from _depth_rows(light, options))

    def see(part: slice) -> Bytes:
        seen = values(light, camera, info, options, part)
        if options.output == "normal":  # made for this picture alone
            seen *= np.float32(0.5)
            seen += np.float32(0.5)
        return to_bytes(seen)

    return PixelRows(size if options.output == "opacity" else (*size, 3), np.uint8, see), notes


def _depth_rows(light: Light, options: RenderOptions) -> Steps[tuple[PixelRows, Notes]]:
    """Counts of 16 bit, or colours."""
    size, notes, name = light.depth.shape, _notes(options), options.colormap
    if name is None:
        (scale,) = yield [lambda: depth_scale(light.depth, has_depth(light))]

        def count(part: slice) -> Counts:
            return quantise_depth(light.depth[part], has_depth(_cut(light, part)), scale)

        notes |= {"X-Depth-Scale": repr(scale), "X-Depth-Invalid": "0"}
        return PixelRows(size, np.uint16, count), notes
    nearest, farthest = 0.0, 0.0
    if options.near is None or options.far is None:
        ((nearest, farthest),) = yield Whole([lambda: depth_range(light.depth, has_depth(light))])
    far = farthest if options.far is None else options.far
    near = min(nearest, far) if options.near is None else options.near

    def colour(part: slice) -> Bytes:
        return colour_depth(light.depth[part], has_depth(_cut(light, part)), name, near, far)

    notes |= {"X-Depth-Near": repr(near), "X-Depth-Far": repr(far)}
    return PixelRows((*size, 3), np.uint8, colour), notes


def _npy(light: Light, camera: Camera, info: SceneInfo, options: RenderOptions) -> Steps[EncodedImage]:
    shape = (*light.depth.shape, 3) if options.output in ("rgb", "normal") else light.depth.shape

    def write(part: slice) -> Float32:
        return np.ascontiguousarray(values(light, camera, info, options, part))

    made = yield [partial(write, part) for part in _strips(light)]
    (data,) = yield [lambda: b"".join([npy_header(shape), *made])]
    return EncodedImage(data=data, media_type=MEDIA_TYPES["npy"], notes=_notes(options))


def _exr(light: Light, camera: Camera, info: SceneInfo, options: RenderOptions) -> Steps[EncodedImage]:
    names = {"rgb": ["R", "G", "B", "A"], "normal": ["N.X", "N.Y", "N.Z"], "depth": ["Z"], "opacity": ["A"]}
    channels = {name: np.empty(light.depth.shape, np.float32) for name in names[options.output]}

    def fill(part: slice) -> None:
        if options.output == "rgb":
            found = linear_rgba(_cut(light, part))
        else:
            seen = values(light, camera, info, options, part)
            planes = np.moveaxis(seen, -1, 0) if seen.ndim == 3 else [seen]
            found = dict(zip(channels, planes, strict=True))
        for name, plane in found.items():
            channels[name][part] = plane

    yield [partial(fill, part) for part in _strips(light)]
    notes = {"colorInteropID": COLOUR_SPACE} if options.output == "rgb" else _notes(options)
    (image,) = yield Whole([partial(encode_exr, channels, notes)])
    return image


def _cut(light: Light, part: slice) -> Light:
    """Rows of an image of light."""
    return Light(*(array[part] for array in light))


def _notes(options: RenderOptions) -> Notes:
    """What explains an output in any format. A depth's numbers are scene units; colours have no scale."""
    if options.output == "normal":
        return {"X-Normal-Axes": options.axes or "world"}
    if options.output != "depth":
        return {}
    if options.colormap is None:
        return {"X-Depth-Kind": DEPTH_KIND, "X-Depth-Scale": "1"}
    nothing = "#{:02x}{:02x}{:02x}".format(*NOTHING)
    return {"X-Depth-Kind": DEPTH_KIND, "X-Depth-Colormap": options.colormap, "X-Depth-Invalid": nothing}
