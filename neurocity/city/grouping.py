"""Cells that few photographs show are merged with their neighbours to blocks."""

from collections.abc import Mapping

from neurocity.city.ground import neighbours
from neurocity.city.manifest import Cell, Ground
from neurocity.errors import DataError

Viewers = Mapping[Cell, frozenset[int]]
"""Numbers of the photographs that show a cell."""
Groups = dict[tuple[Cell, ...], frozenset[int]]
"""Cells of a block, of which the first is that of most photographs, with the photographs of all."""


def grouped(viewers: Viewers, fewest: int, ground: Ground, *, merge: bool) -> tuple[Groups, list[str]]:
    """The blocks of cells that photographs show, and in sentences what was merged.

    A block with fewer photographs than `fewest` joins the neighbour with which it shares most, again and
    again. Raises DataError, naming the blocks, where there are such without a neighbour, or not `merge`.
    """
    groups: Groups = {(cell,): views for cell, views in viewers.items()}
    remarks: list[str] = []

    def poor() -> list[tuple[Cell, ...]]:
        few = [cells for cells, views in groups.items() if len(views) < fewest]
        return sorted(few, key=lambda cells: (len(groups[cells]), cells))

    def said(cells: tuple[Cell, ...]) -> str:
        return f"{'+'.join(map(ground.name, cells))} ({len(groups[cells])})"

    while few := poor():
        cells = few[0]
        beside = [other for other in groups if other != cells and _touch(cells, other)]
        if not merge or not beside:
            what = " and no neighbour to merge with" if merge else ""
            named = ", ".join(map(said, [cells] if merge else few))
            raise DataError(
                f"blocks with fewer than {fewest} photographs{what}: {named}; give more photographs, larger "
                "blocks, or fewer --min-views"
            )
        other = max(beside, key=lambda each: (len(groups[each] & groups[cells]), len(groups[each]), each))
        remarks.append(f"{said(cells)} has too few photographs and is merged with {said(other)}")
        first, second = sorted((cells, other), key=lambda each: -len(groups[each]))
        groups[first + second] = groups.pop(first) | groups.pop(second)
    return groups, remarks


def _touch(cells: tuple[Cell, ...], other: tuple[Cell, ...]) -> bool:
    return any(beside in other for cell in cells for beside in neighbours(cell))
