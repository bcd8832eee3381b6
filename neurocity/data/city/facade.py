"""Facades: masonry with rows of windows and shops, and glass curtain walls."""

import numpy as np
import numpy.typing as npt

from neurocity.data.city.noise import Floats, cell, fade, hash_unit, mix, pulse, stripe, value_noise
from neurocity.data.city.styles import Masonry, color
from neurocity.data.city.surface import Paint, Surface

FRAME = 0.09
SHOP_WIDTH = 6.5
SIGNS = ("#9c2f2b", "#27594a", "#c58a1d", "#2c4d80", "#e4dccb", "#5a2c5e", "#1f2226", "#b8552b")
SIGN_COLORS = np.array([color(sign) for sign in SIGNS], dtype=np.float32)
GLASS_DARK = np.array(color("#2c3a47"), dtype=np.float32)
GLASS_SKY = np.array(color("#7f9bb4"), dtype=np.float32)
CURTAIN = np.array(color("#c9bda3"), dtype=np.float32)
LAMP_LIGHT = np.array(color("#ffd79a"), dtype=np.float32)
LIT_SHARE = 0.04
CURTAINED_SHARE = 0.3


def paint_facade(surface: Surface) -> Paint:
    """A wall of brick, concrete, stone or plaster with a grid of windows and, at street level, shops."""
    style = surface.style
    wall = masonry(surface)
    bays = np.maximum(np.round(surface.length / style["bay"]), 1)
    bay = surface.length / bays
    above_shops = surface.t - style["shop_height"]
    storeys = np.floor((surface.top - style["shop_height"] - style["cap"]) / style["storey"])
    storey = np.maximum(style["storey"], 0.1)
    inside = stripe(above_shops, (0.0, storeys * storey), surface.filter_t)

    left = bay * (1 - style["window"][:, 0]) / 2
    right = bay - left
    low = style["sill"] * storey
    high = low + style["window"][:, 1] * storey

    def opening(margin: float) -> Floats:
        across = pulse(surface.s, (left - margin, right + margin), surface.filter_s, period=bay)
        up = pulse(above_shops, (low - margin, high + margin), surface.filter_t, period=storey)
        return across * up * inside

    frame, glass = opening(FRAME), opening(0.0)
    x = surface.s - np.floor(surface.s / bay) * bay
    y = above_shops - np.floor(above_shops / storey) * storey
    middle = stripe(x, (bay / 2 - 0.04, bay / 2 + 0.04), surface.filter_s)
    rail = stripe(y, (high - 0.62, high - 0.54), surface.filter_t)
    bars = np.maximum(middle, rail)
    # A lintel's shadow on the top of the pane and a lit sill under it stand for the depth of the reveal.
    reveal = stripe(y, (high - 0.28, high), surface.filter_t)
    ledge = pulse(surface.s, (left - 0.2, right + 0.2), surface.filter_s, period=bay) * inside
    ledge = ledge * pulse(above_shops, (low - 0.28, low - 0.05), surface.filter_t, period=storey)

    column, floor = cell(surface.s / bay), cell(above_shops / storey)
    resolved = fade(np.maximum(surface.filter_s / bay, surface.filter_t / storey), 0.9)
    pane, emission = _panes(surface, column, floor, resolved=resolved)
    pane = pane * (1 - 0.55 * reveal)[:, None]
    accent = style["accent"]
    albedo = mix(wall, np.minimum(wall * 1.25 + 0.06, 0.85), ledge)
    albedo = mix(albedo, accent, frame)
    albedo = mix(albedo, mix(pane, accent, bars), glass)
    paint = Paint(albedo, emission * (glass * (1 - bars))[:, None], 0.05 * glass)
    return _with_shops(surface, paint)


def paint_curtain_wall(surface: Surface) -> Paint:
    """Glass from floor to floor: tinted panes between mullions, with opaque spandrels at the slabs."""
    style = surface.style
    bays = np.maximum(np.round(surface.length / style["bay"]), 1)
    bay = surface.length / bays
    above_shops = surface.t - style["shop_height"]
    storey = np.maximum(style["storey"], 0.1)
    column, floor = cell(surface.s / bay), cell(above_shops / storey)
    resolved = fade(np.maximum(surface.filter_s / bay, surface.filter_t / storey), 0.9)
    mullion = pulse(surface.s + 0.05, (0.0, 0.1), surface.filter_s, period=bay)
    spandrel = pulse(
        above_shops, (0.0, style["window"][:, 1] * 0.3 * storey), surface.filter_t, period=storey
    )
    salt = surface.patch.astype(np.int32)
    variation = (hash_unit(column, floor, salt) - 0.5) * resolved
    # Broad mottling stands for the reflection of clouds and neighbours, without depending on the viewer.
    mottle = value_noise(surface.s * 0.11 + salt % 97, surface.t * 0.07, salt=7)
    tint = style["base"] * (0.62 + 0.75 * mottle + 0.5 * variation)[:, None]
    lit = (hash_unit(floor, column, salt) > 0.96) * resolved * (1 - spandrel) * (1 - mullion)
    albedo = mix(tint, style["accent"] * 0.55, 0.8 * spandrel)
    albedo = mix(albedo, style["accent"], 0.9 * mullion)
    paint = Paint(albedo, 0.22 * lit[:, None] * LAMP_LIGHT, 0.08 * (1 - mullion))
    return _with_shops(surface, paint)


def _panes(
    surface: Surface, column: npt.NDArray[np.int32], floor: npt.NDArray[np.int32], *, resolved: Floats
) -> tuple[Floats, Floats]:
    """Colour and own light of the pane of every window cell; their means where cells are not resolved."""
    salt = surface.patch.astype(np.int32)
    sky_share = 0.25 + 0.5 * hash_unit(column, floor, salt)
    curtained = hash_unit(floor, salt, column) < CURTAINED_SHARE
    lit = hash_unit(salt, column, floor) < LIT_SHARE
    glass = mix(np.broadcast_to(GLASS_DARK, (len(salt), 3)), GLASS_SKY, sky_share)
    pane = mix(glass, CURTAIN, 0.75 * curtained.astype(np.float32))
    mean = mix(GLASS_DARK[None], GLASS_SKY, np.full(1, 0.5, dtype=np.float32))
    mean = mix(mean, CURTAIN, np.full(1, 0.75 * CURTAINED_SHARE, dtype=np.float32))
    light = mix(np.full((len(salt), 1), LIT_SHARE, dtype=np.float32), lit[:, None] * 1.0, resolved)
    return mix(mean, pane, resolved), (0.55 * light * LAMP_LIGHT).astype(np.float32)


def _with_shops(surface: Surface, upper: Paint) -> Paint:
    """The facade with shop windows, doors and signs painted over its ground floor."""
    height = surface.style["shop_height"]
    ground = stripe(surface.t, (0.0, height), surface.filter_t)
    shops = np.maximum(np.round(surface.length / SHOP_WIDTH), 1)
    width = surface.length / shops
    salt = surface.patch.astype(np.int32)
    shop = cell(surface.s / width)
    sign = SIGN_COLORS[(hash_unit(shop, salt) * len(SIGN_COLORS)).astype(np.int64) % len(SIGN_COLORS)]
    pillar = 1 - pulse(surface.s, (0.35, width - 0.35), surface.filter_s, period=width)
    fascia = stripe(surface.t, (height - 1.15, height - 0.25), surface.filter_t) * (1 - pillar)
    window = stripe(surface.t, (0.55, height - 1.25), surface.filter_t) * (1 - pillar)
    bar = pulse(surface.s, (0.0, 0.1), surface.filter_s, period=width / 4)
    interior = value_noise(surface.s * 0.9, surface.t * 0.8, salt=11)
    brightness = hash_unit(salt, shop)
    inside = mix(np.broadcast_to(GLASS_DARK, sign.shape), GLASS_SKY, 0.5 * interior)
    plinth = surface.style["base"] * np.float32(0.55) + np.float32(0.04)
    albedo = mix(plinth, sign, fascia)
    albedo = mix(albedo, mix(inside, sign * 0.5, bar), window)
    glow = (window * (1 - bar) * (0.08 + 0.3 * brightness) * (0.5 + interior) * ground)[:, None] * LAMP_LIGHT
    return Paint(
        mix(upper.albedo, albedo, ground),
        upper.emission * (1 - ground)[:, None] + glow,
        upper.gloss * (1 - ground) + 0.05 * window * ground,
    )


def masonry(surface: Surface) -> Floats:
    """[n, 3] the solid part of a facade: bonded bricks, concrete panels, ashlar or plaster, weathered."""
    s, t, style = surface.s, surface.t, surface.style
    kind = style["masonry"]
    salt = surface.patch.astype(np.int32)
    weather = value_noise(s * 0.22 + salt % 89, t * 0.16, salt=3) - 0.5
    grain = (value_noise(s * 2.3, t * 2.3, salt=5) - 0.5) * fade(surface.filter_width, 0.5)
    shade = 1 + 0.22 * weather + 0.12 * grain
    for masonry_kind, (length, course, joint, contrast) in {
        Masonry.BRICK: (0.30, 0.10, 0.018, 0.30),
        Masonry.CONCRETE: (3.4, 3.3, 0.05, 0.06),
        Masonry.STONE: (0.9, 0.45, 0.025, 0.14),
    }.items():
        chosen = np.flatnonzero(kind == masonry_kind)
        row = cell(t[chosen] / course)
        shifted = s[chosen] + (row & 1) * (length / 2 if masonry_kind != Masonry.CONCRETE else 0.0)
        unit = hash_unit(cell(shifted / length), row, salt[chosen]) - 0.5
        seen = fade(surface.filter_width[chosen], course * 0.8)
        mortar = np.maximum(
            pulse(shifted, (0.0, joint), surface.filter_s[chosen], period=length),
            pulse(t[chosen], (0.0, joint), surface.filter_t[chosen], period=course),
        )
        shade[chosen] *= (1 + contrast * unit * seen) * (1 - 0.22 * mortar)
    return np.asarray(style["base"] * shade[:, None], dtype=np.float32)
