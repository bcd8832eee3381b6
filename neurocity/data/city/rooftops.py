"""What stands on flat roofs: stair heads, air-conditioning units, vents and water tanks."""

from neurocity.data.city.construction import Construction
from neurocity.data.city.layout import Rect
from neurocity.data.city.styles import Material, Style, color

Point = tuple[float, float, float]


def furnish_roof(work: Construction, rect: Rect, z: float, *, tank: bool) -> None:
    """Furnish the free area `rect` of a roof at height z; every piece gets its own cell, so none overlap."""
    columns, rows = (max(1, int(size // 4.0)) for size in rect.size)
    cells = [(i, j) for i in range(columns) for j in range(rows)]
    pitch = rect.size[0] / columns, rect.size[1] / rows
    if min(pitch) < 2.0:
        return
    order = work.rng.permutation(len(cells))
    pieces = [_water_tank] * tank + [_stair_head]
    pieces += [_air_conditioner] * int(work.rng.integers(1, 4)) + [_vents] * int(work.rng.integers(0, 3))
    for place, piece in zip(order[: max(1, (len(cells) + 1) // 2)], pieces, strict=False):
        i, j = cells[place]
        x = rect.x0 + (i + 0.5) * pitch[0] + work.uniform(-0.15, 0.15)
        y = rect.y0 + (j + 0.5) * pitch[1] + work.uniform(-0.15, 0.15)
        piece(work, (float(x), float(y), z))


def _stair_head(work: Construction, at: Point) -> None:
    wall = work.styles.plain(color("#a39a8c", work.uniform(0.7, 1.2)))
    roof = work.styles.add(Style(material=Material.ROOF, base=color("#6e6b67")))
    x, y, z = at
    height = work.uniform(2.2, 2.8)
    work.mesh.box(Rect(x - 1.3, y - 1.5, x + 1.3, y + 1.5), z, z + height, style=wall, top_style=roof)


def _air_conditioner(work: Construction, at: Point) -> None:
    x, y, z = at
    case = work.styles.plain(color("#c9cbc9", work.uniform(0.8, 1.05)))
    fan = work.styles.plain(color("#4a4d50"))
    half_x, half_y = (float(v) for v in work.rng.uniform(0.7, 1.3, size=2))
    height = work.uniform(0.9, 1.5)
    work.mesh.box(Rect(x - half_x, y - half_y, x + half_x, y + half_y), z, z + height, style=case)
    work.mesh.cylinder((x, y, z + height), 0.55 * min(half_x, half_y) + 0.1, 0.12, sides=8, style=fan)


def _vents(work: Construction, at: Point) -> None:
    x, y, z = at
    metal = work.styles.plain(color("#9a9da0"))
    for dx in (-0.6, 0.5):
        height = work.uniform(0.5, 1.1)
        work.mesh.cylinder((x + dx, y, z), 0.28, height, sides=6, style=metal, cone=0.15)


def _water_tank(work: Construction, at: Point) -> None:
    """A wooden barrel with a conical lid on a steel frame."""
    x, y, z = at
    wood = work.styles.plain(color("#7c5f48", work.uniform(0.8, 1.15)))
    steel = work.styles.plain(color("#43403d"))
    legs = 1.6
    for dx in (-0.8, 0.8):
        for dy in (-0.8, 0.8):
            leg = Rect(x + dx, y + dy, x + dx, y + dy).inset(-0.1)
            work.mesh.box(leg, z, z + legs, style=steel)
    work.mesh.slab(Rect(x - 1.1, y - 1.1, x + 1.1, y + 1.1), z + legs, z + legs + 0.15, style=steel)
    work.mesh.cylinder((x, y, z + legs + 0.15), 1.2, 2.4, sides=10, style=wood, cone=0.9)
