"""What a city is: `city.json`, the record that plan, training, export and gateway share.

A city is one octree's root whose ground is divided into cells, and blocks of cells that are models of their
own; a coarse model of everything stands in for blocks that are absent, and is what lies around them.

Coordinates are the scene's (world coordinates minus `origin`), units are metres where the world's are.
"""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from neurocity.contract import ArtefactFile, record_from_json, to_json
from neurocity.contract_checks import (
    require_box,
    require_finite,
    require_least,
    require_positive,
    require_scene_name,
    require_unit,
)
from neurocity.errors import ConfigError, ManifestError, UnreadableError
from neurocity.publishing import published

SCHEMA_VERSION = 1
CITY_FILE = "city.json"
MAX_LEVEL = 12
"""Of cells; below it there must be room for voxels."""
MOST_CELLS = 10_000
"""That a city may have; each takes work, files and memory."""

Box = tuple[float, float, float, float, float, float]
Cell = tuple[int, int]
"""Column and row on the ground: along the first and the second of its axes, see `Ground.axes`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """The root of the blocks' octrees, a cube, and the grid of cells on the ground of its inner part.

    low: the root's low corner. side: its edge. level: the root is 2^level cells wide. up_axis: 0, 1 or 2,
    along which cells are as high as the inner part. inner: how often the root is halved to the inner part, a
    cube in its middle; 0 where the root is all there is, more for models with shells around.
    """

    low: tuple[float, float, float]
    side: float
    level: int
    up_axis: int = 2
    inner: int = 0

    def __post_init__(self) -> None:
        """Raises ManifestError on numbers that are no grid."""
        require_finite("low", self.low, 3)
        require_positive("side", self.side)
        if not 0 <= self.level <= MAX_LEVEL:
            raise ManifestError(f"level: got {self.level}, expected 0 to {MAX_LEVEL}")
        if self.up_axis not in (0, 1, 2):
            raise ManifestError(f"up_axis: got {self.up_axis}, expected 0, 1 or 2")
        if not 0 <= self.inner <= max(self.level - 1, 0):
            raise ManifestError(f"inner: got {self.inner}, expected 0 to {max(self.level - 1, 0)}")

    @property
    def axes(self) -> tuple[int, int]:
        """The two axes of the ground."""
        first, second = (axis for axis in range(3) if axis != self.up_axis)
        return first, second

    @property
    def count(self) -> int:
        """How many cells wide the root is."""
        return 2**self.level

    @property
    def range(self) -> tuple[int, int]:
        """The first and the last cell of a row."""
        half = self.count / 2 ** (self.inner + 1)
        return int(self.count / 2 - half), int(self.count / 2 + half) - 1

    @property
    def heights(self) -> tuple[float, float]:
        """From where to where cells go upwards, in root sides from its low corner."""
        half = 0.5 ** (self.inner + 1)
        return 0.5 - half, 0.5 + half

    @property
    def cell_side(self) -> float:
        """Edge of a cell on the ground."""
        return self.side / self.count

    def holds(self, cell: Cell) -> bool:
        """Whether there is such a cell."""
        first, last = self.range
        return all(first <= place <= last for place in cell)

    def name(self, cell: Cell) -> str:
        """What a cell is called, such as x0-y2."""
        return "-".join(f"{'xyz'[axis]}{place}" for axis, place in zip(self.axes, cell, strict=True))

    def box(self, cell: Cell) -> Box:
        """A cell's box: a column as high as the inner part."""
        low, high = ([place + end * self.side for place in self.low] for end in self.heights)
        for axis, place in zip(self.axes, cell, strict=True):
            low[axis], high[axis] = (self.low[axis] + (place + end) * self.cell_side for end in (0, 1))
        return (low[0], low[1], low[2], high[0], high[1], high[2])


@dataclass(frozen=True, slots=True, kw_only=True)
class CityModel:
    """A model of a city that has been made.

    folder: its version folder, as of a model repository, relative to the folder of `city.json`.
    artefact: the file in it. box: around its voxels. voxel_side: edge of the smallest of these. figures:
    what was measured of it, by name.
    """

    folder: str
    version: int
    artefact: ArtefactFile
    box: Box
    voxel_side: float
    figures: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raises ManifestError on a place outside of the city's folder."""
        require_least("version", self.version, 1)
        require_box("box", self.box)
        require_positive("voxel_side", self.voxel_side)
        parts = PurePosixPath(self.folder)
        if parts.is_absolute() or ".." in parts.parts:
            raise ManifestError(f"folder: got {self.folder!r}, expected a place below that of {CITY_FILE}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A part of the city with a model of its own.

    id: its name. cells: what it shows; more than one where cells with too few photographs were merged.
    training_box: what it is trained on, its cells with a margin. photographs: names of the frames that it is
    trained on. neighbours: ids of the blocks whose cells share a side with its own. model: None until it is
    made. coarser: the same with larger voxels, for views from afar, each larger than those before.
    """

    id: str
    cells: tuple[Cell, ...]
    training_box: Box
    photographs: tuple[str, ...] = ()
    neighbours: tuple[str, ...] = ()
    model: CityModel | None = None
    coarser: tuple[CityModel, ...] = ()

    def __post_init__(self) -> None:
        """Raises ManifestError on a block without a name or cells, and on cuts out of order."""
        if not self.id or not self.id.replace("-", "").replace("_", "").isalnum():
            raise ManifestError(f"id: got {self.id!r}, expected letters, digits, - and _")
        if not self.cells:
            raise ManifestError("cells: got none, expected one at least")
        require_box("training_box", self.training_box)
        sides = [each.voxel_side for each in (self.model, *self.coarser) if each]
        if sides != sorted(set(sides)) or (self.coarser and not self.model):
            raise ManifestError(f"coarser: got voxels of {sides}, expected larger ones than in those before")


@dataclass(frozen=True, slots=True, kw_only=True)
class Coarse:
    """The model of everything: background, sky, and what stands in for blocks.

    box: what it is trained on, the near part of an unbounded scene. photographs: as `Block.photographs`.
    """

    box: Box
    photographs: tuple[str, ...] = ()
    model: CityModel | None = None

    def __post_init__(self) -> None:
        """Raises ManifestError on a box without a volume."""
        require_box("box", self.box)


@dataclass(frozen=True, slots=True, kw_only=True)
class City:
    """`city.json`.

    name: of the city; scenes of its models begin with it. origin: world coordinates of the scene's zero,
    float64. crs: in words, the system that world coordinates are in; empty when it is not known.
    data: folder of the photographs, empty for a model that was cut. up: unit vector to the sky.
    unbounded: whether photographs show more than the coarse model's box holds.
    """

    name: str
    ground: Ground
    blocks: tuple[Block, ...]
    coarse: Coarse
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0)
    crs: str = ""
    data: str = ""
    up: tuple[float, float, float] = (0.0, 0.0, 1.0)
    unbounded: bool = False
    schema_version: int = SCHEMA_VERSION

    def __post_init__(self) -> None:
        """Raises ManifestError unless its models can be scenes, and blocks are parts of one ground, do not
        overlap, and have models of their own.
        """
        require_scene_name("name", self.name)
        require_finite("origin", self.origin, 3)
        require_unit("up", self.up)
        _refuse_second("blocks", Counter(block.id for block in self.blocks))
        _refuse_second("cells", Counter(cell for block in self.blocks for cell in block.cells))
        models = [model for block in self.blocks for model in (block.model, *block.coarser)]
        _refuse_second("models", Counter(model.folder for model in (*models, self.coarse.model) if model))
        neighbours = {block.id: block.neighbours for block in self.blocks}
        for block in self.blocks:
            for cell in block.cells:
                if not self.ground.holds(cell):
                    raise ManifestError(
                        f"block {block.id}: got cell {list(cell)}, expected {self.ground.range[0]} to "
                        f"{self.ground.range[1]}"
                    )
            for other in block.neighbours:
                if block.id not in neighbours.get(other, ()):
                    raise ManifestError(
                        f"block {block.id}: has the neighbour {other!r}, which is not there or has not it"
                    )

    def block(self, block_id: str) -> Block:
        """The block of that id. Raises ManifestError, which lists those that there are."""
        for block in self.blocks:
            if block.id == block_id:
                return block
        known = ", ".join(block.id for block in self.blocks) or "none"
        raise ManifestError(f"block: got {block_id!r}, the city has {known}")

    @property
    def owners(self) -> dict[Cell, Block]:
        """The block of each cell that has one."""
        return {cell: block for block in self.blocks for cell in block.cells}


def city_name(folder: Path) -> str:
    """What a city is called that is written into a folder: as this is.

    Raises ConfigError where no scene can be called so.
    """
    name = folder.resolve().name
    try:
        require_scene_name("out: the city is called as its folder", name)
    except ManifestError as error:
        raise ConfigError(str(error)) from None
    return name


def read_city(folder: Path) -> City:
    """The city in a folder.

    Raises UnreadableError when its file cannot be read, and ManifestError as `contract.record_from_json`.
    """
    return city_from_file(folder, read_city_file(folder))


def read_city_file(folder: Path) -> bytes:
    """What the file of the city in a folder has. Raises UnreadableError."""
    try:
        return (folder / CITY_FILE).read_bytes()
    except OSError as error:
        raise _unreadable(folder, error) from None


def city_from_file(folder: Path, content: bytes) -> City:
    """The city that the file in a folder describes, by its content. Raises as `read_city`."""
    try:
        text = content.decode()
    except ValueError as error:
        raise _unreadable(folder, error) from None
    return record_from_json(City, text, str(folder / CITY_FILE), "plan the city again")


def _unreadable(folder: Path, error: Exception) -> UnreadableError:
    return UnreadableError(
        f"{folder / CITY_FILE}: cannot be read ({error}); `neurocity city plan` and `neurocity city cut` "
        "write it"
    )


def write_city(folder: Path, city: City) -> Path:
    """Write the city's file in one step, and return its path; who reads it meanwhile reads the old one.

    Raises ManifestError when it cannot be written.
    """
    path = folder / CITY_FILE
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with published(path) as partial:
            partial.write_text(to_json(city) + "\n")
    except OSError as error:
        raise ManifestError(f"{path}: cannot be written ({error.strerror})") from None
    return path


def _refuse_second(what: str, counts: Counter[str] | Counter[Cell]) -> None:
    if twice := [str(each) for each, count in counts.items() if count > 1]:
        raise ManifestError(f"{what}: {', '.join(twice)} stands twice")
