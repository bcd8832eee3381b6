"""Draws docs/architecture.svg from the code's own imports: python docs/draw_architecture.py

A box is a room: a folder of modules, or a module that stands alone. An arrow says that a room imports
another. All arrows go down, and one that follows from others is left out. Colours tell the packages apart.
"""

import html
from collections.abc import Iterable
from pathlib import Path

import grimp

PICTURE = Path(__file__).with_name("architecture.svg")
PACKAGES = {"neurocity": "#dbe9f6", "export": "#fde5cd", "serving": "#dcefdc"}
"""Package -> colour of its boxes."""

_WIDTH, _HEIGHT, _GAP, _ROW = 150, 34, 16, 92
_SWEEPS = 24

Edges = set[tuple[str, str]]


def room(module: str) -> str:
    """The room of a module: its package's folder or module, `neurocity.rendering` or `neurocity.light`."""
    return ".".join(module.split(".")[:2])


def imports_between_rooms() -> Edges:
    """(importer, imported) of all rooms; packages' own `__init__` and `__main__` say nothing."""
    graph = grimp.build_graph(*PACKAGES)
    edges = {
        (room(module), room(imported))
        for module in graph.modules
        for imported in graph.find_modules_directly_imported_by(module)
    }
    return {(a, b) for a, b in edges if a != b and "." in a and "." in b and "__main__" not in a}


def levels(edges: Edges) -> dict[str, int]:
    """Room -> its height over rooms that import nothing. Raises ValueError where imports go in a circle."""
    below = {name: {b for a, b in edges if a == name} for edge in edges for name in edge}
    found: dict[str, int] = {}
    while len(found) < len(below):
        ready = [name for name in below if name not in found and below[name] <= found.keys()]
        if not ready:
            raise ValueError(f"imports go in a circle among {sorted(below.keys() - found.keys())}")
        for name in ready:
            found[name] = 1 + max((found[other] for other in below[name]), default=-1)
    return found


def reduced(edges: Edges) -> Edges:
    """The edges that do not follow from others."""
    below = {name: {b for a, b in edges if a == name} for edge in edges for name in edge}

    def reach(name: str) -> set[str]:
        return set().union(*({other} | reach(other) for other in below[name]))

    return {(a, b) for a, b in edges if not any(b in reach(c) for c in below[a] if c != b)}


def rows(heights: dict[str, int], edges: Edges) -> list[list[str]]:
    """Rooms by height, from the lowest: a package's side by side, neighbours over one another."""
    packages = list(PACKAGES)
    found = [sorted(n for n in heights if heights[n] == level) for level in range(max(heights.values()) + 1)]
    # In one order: sums of floats depend on it, and sets have another one in each process.
    pairs = sorted(edges)
    near = {name: [b if a == name else a for a, b in pairs if name in (a, b)] for name in heights}
    for _ in range(_SWEEPS):
        places = {name: (i + 0.5) / len(row) for row in found for i, name in enumerate(row)}
        means = {name: sum(places[other] for other in near[name]) / len(near[name]) for name in near}
        for row in found:
            row.sort(key=lambda name: (packages.index(name.partition(".")[0]), means[name], name))
    return found


def drawing(placed: list[list[str]], edges: Iterable[tuple[str, str]]) -> str:
    """The SVG of rooms in rows, the lowest first."""
    width = max(len(row) for row in placed) * (_WIDTH + _GAP) + _GAP
    height = len(placed) * _ROW + _GAP
    spots = {}
    for level, row in enumerate(placed):
        step = width / len(row)
        for index, name in enumerate(row):
            spots[name] = (step * (index + 0.5), height - _ROW * (level + 0.5))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        'font-family="sans-serif" font-size="13">',
        '<marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
        'orient="auto"><path d="M0 0 8 4 0 8z" fill="#666"/></marker>',
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]
    for above, below in sorted(edges):
        (x0, y0), (x1, y1) = spots[above], spots[below]
        y0, y1 = y0 + _HEIGHT / 2, y1 - _HEIGHT / 2
        middle = (y0 + y1) / 2
        parts.append(
            f'<path d="M{x0:.0f} {y0:.0f}C{x0:.0f} {middle:.0f} {x1:.0f} {middle:.0f} {x1:.0f} {y1:.0f}" '
            'fill="none" stroke="#999" marker-end="url(#head)"/>'
        )
    for name, (x, y) in sorted(spots.items()):
        colour = PACKAGES[name.partition(".")[0]]
        parts.append(
            f'<rect x="{x - _WIDTH / 2:.0f}" y="{y - _HEIGHT / 2:.0f}" width="{_WIDTH}" height="{_HEIGHT}" '
            f'rx="6" fill="{colour}" stroke="#888"/>'
            f'<text x="{x:.0f}" y="{y + 5:.0f}" text-anchor="middle">'
            f"{html.escape(name)}</text>"
        )
    return "\n".join([*parts, "</svg>", ""])


def main() -> None:
    """Write the picture."""
    edges = imports_between_rooms()
    heights = levels(edges)
    shown = reduced(edges)
    PICTURE.write_text(drawing(rows(heights, shown), shown))


if __name__ == "__main__":
    main()
