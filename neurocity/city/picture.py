"""A plan from above: cells with names and numbers of photographs, cameras, and the points of the capture."""

from collections.abc import Mapping

import numpy as np
from PIL import Image, ImageDraw

from neurocity.city.manifest import Block, Box, City
from neurocity.data.drawing import (
    FAINT,
    INK,
    PAPER,
    TRAINED_ON,
    Color,
    Plane,
    draw_frustum,
    draw_points,
    draw_scale_bar,
    font,
    some_points,
)
from neurocity.data.scene import Scene

SIZE, MARGIN, HEADING, LEGEND = 1100, 24, 64, 40
BORDER: Color = (30, 30, 36)
MARGINS: Color = (205, 110, 30)
ALONE: Color = (200, 40, 60)
FILLS: tuple[Color, ...] = (
    (204, 224, 245),
    (250, 224, 196),
    (210, 236, 208),
    (240, 212, 228),
    (236, 232, 190),
    (214, 210, 240),
)
"""Colours of blocks; those that share a side have different ones, as far as there are enough."""


def draw_plan(city: City, scene: Scene) -> Image.Image:
    """The plan as an RGB image. scene: what it was made of."""
    sheet = Image.new("RGB", (SIZE + 2 * MARGIN, SIZE + HEADING + LEGEND + MARGIN), PAPER)
    draw = ImageDraw.Draw(sheet)
    cells = sum(len(block.cells) for block in city.blocks)
    side = city.ground.cell_side
    draw.text((MARGIN, 8), f"{city.name}: {len(city.blocks)} blocks", INK, font(22))
    text = f"{cells} cells of {side:g} units, {len(city.coarse.photographs)} photographs to train on"
    draw.text((MARGIN, 36), text, INK, font(15))
    sheet.paste(_panel(city, scene), (MARGIN, HEADING))
    _legend(draw, HEADING + SIZE + 10)
    return sheet


def _panel(city: City, scene: Scene) -> Image.Image:
    panel = Image.new("RGB", (SIZE, SIZE), PAPER)
    plane = _plane(city, scene)
    if scene.points is not None:
        draw_points(panel, plane(some_points(scene.points)))
    fills = _fills(city.blocks)
    tint = Image.new("RGB", panel.size, PAPER)
    paint = ImageDraw.Draw(tint)
    for cell, block in city.owners.items():
        paint.rectangle(_corners(plane, city.ground.box(cell)), fill=fills[block.id])
    # Colours over points: the darker of both.
    panel = Image.fromarray(np.minimum(np.asarray(panel), np.asarray(tint)))
    draw = ImageDraw.Draw(panel)
    trained = {name for block in city.blocks for name in block.photographs}
    for frame in scene.splits["train"]:
        draw_frustum(draw, plane, frame.camera, TRAINED_ON if frame.name in trained else ALONE)
    for block in city.blocks:
        _outline(draw, plane, city, block)
    for block in city.blocks:
        _label(draw, plane, city.ground.box(block.cells[0]), block)
    draw_scale_bar(draw, plane)
    draw.rectangle([0, 0, SIZE - 1, SIZE - 1], outline=FAINT)
    return panel


def _plane(city: City, scene: Scene) -> Plane:
    """The ground from above, with all cells and cameras; what is up is towards who looks."""
    axes = np.eye(3)[list(city.ground.axes)]
    if np.cross(*axes) @ np.array(scene.up) < 0.0:
        axes[1] *= -1.0
    ends = [np.array(city.ground.box(cell)).reshape(2, 3) for cell in city.owners]
    places = np.concatenate([*ends, [frame.camera.position for frame in scene.splits["train"]]])
    flat = places @ axes.T
    low, high = flat.min(0), flat.max(0)
    return Plane(axes, 0.5 * (low + high) @ axes, 0.46 * SIZE / max(0.5 * (high - low).max(), 1e-12), SIZE)


def _corners(plane: Plane, box: Box) -> tuple[float, float, float, float]:
    pixels = plane(np.array(box).reshape(2, 3))
    (x0, y0), (x1, y1) = pixels.min(0), pixels.max(0)
    return float(x0), float(y0), float(x1), float(y1)


def _outline(draw: ImageDraw.ImageDraw, plane: Plane, city: City, block: Block) -> None:
    """Borders of the block, not between its own cells, and the box that it is trained on."""
    own = set(block.cells)
    for i, j in block.cells:
        box = np.array(city.ground.box((i, j))).reshape(2, 3)
        a, b = city.ground.axes
        for other, axis, end in (
            ((i - 1, j), a, 0),
            ((i + 1, j), a, 1),
            ((i, j - 1), b, 0),
            ((i, j + 1), b, 1),
        ):
            if other not in own:
                line = box.copy()
                line[:, axis] = box[end, axis]
                draw.line([tuple(place) for place in plane(line).tolist()], BORDER, 3)
    _dashed(draw, _corners(plane, block.training_box), MARGINS)


def _dashed(draw: ImageDraw.ImageDraw, box: tuple[float, float, float, float], color: Color) -> None:
    x0, y0, x1, y1 = box
    for x in np.arange(x0, x1, 12.0).tolist():
        for y in (y0, y1):
            draw.line([x, y, min(x + 5.0, x1), y], color)
    for y in np.arange(y0, y1, 12.0).tolist():
        for x in (x0, x1):
            draw.line([x, y, x, min(y + 5.0, y1)], color)


def _label(draw: ImageDraw.ImageDraw, plane: Plane, box: Box, block: Block) -> None:
    """The block's name and how many photographs it is trained on, in its first cell."""
    x0, y0, x1, y1 = _corners(plane, box)
    size = int(min(max((x1 - x0) / 9.0, 9.0), 26.0))
    lines = [block.id, f"{len(block.photographs)} views"]
    width = max(draw.textlength(line, font(size)) for line in lines)
    left, top = 0.5 * (x0 + x1) - 0.5 * width, 0.5 * (y0 + y1) - 1.2 * size
    draw.rectangle([left - 4, top - 2, left + width + 4, top + 2.5 * size], fill=PAPER, outline=BORDER)
    for number, line in enumerate(lines):
        draw.text((left, top + 1.2 * size * number), line, INK, font(size))


def _legend(draw: ImageDraw.ImageDraw, top: int) -> None:
    entries = (
        ("border of a block", BORDER),
        ("box that it is trained on", MARGINS),
        ("photograph of a block", TRAINED_ON),
        ("photograph of the coarse model alone", ALONE),
    )
    left = MARGIN
    for text, color in entries:
        draw.rectangle([left, top + 4, left + 14, top + 18], fill=color)
        draw.text((left + 22, top), text, INK, font(15))
        left += 46 + int(draw.textlength(text, font(15)))


def _fills(blocks: tuple[Block, ...]) -> Mapping[str, Color]:
    chosen: dict[str, Color] = {}
    for block in blocks:
        taken = {chosen[other] for other in block.neighbours if other in chosen}
        free = [color for color in FILLS if color not in taken] or FILLS
        chosen[block.id] = free[0]
    return chosen
