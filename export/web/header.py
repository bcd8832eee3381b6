"""`scene.js`: what a scene is and which files it has, as docs/web.md says; written, and read again."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from export.bits import Bits
from export.web.contents import Contents, Scales
from export.web.numbers.precision import Scale
from neurocity.contract import SceneManifest, build_record
from neurocity.contract_checks import require_least
from neurocity.errors import ConfigError, ManifestError

LAYOUT: Final = 1
"""Of the folder; another one is another number."""
FILE: Final = "scene.js"
_BEGIN, _END = "neurocityScene(", ");\n"

Triple = tuple[float, float, float]


@dataclass(frozen=True, kw_only=True)
class Block:
    """A run of parents of one level with all their children, see docs/web.md."""

    level: int
    parents: int
    cells: int
    first_parent: int
    first_cell: int
    voxel_points: int
    inner_points: int

    def __post_init__(self) -> None:
        """Raises ManifestError on counts that nothing has."""
        for name, count in vars(self).items():
            least = {"first_parent": -1, "parents": 1, "cells": 1}.get(name, 0)
            require_least(name, count, least)


@dataclass(frozen=True, kw_only=True)
class Group:
    """A file of blocks. bytes, sha256: of the file. packed: bytes of its gzip. unpacked: bytes in that."""

    file: str
    bytes: int
    sha256: str
    packed: int
    unpacked: int
    blocks: tuple[Block, ...]


@dataclass(frozen=True, kw_only=True)
class Level:
    """Counts of cells, of inner ones among them, and of their corners."""

    cells: int
    inner: int
    inner_points: int


@dataclass(frozen=True, kw_only=True)
class DensityScale:
    """Of `precision.Scale`."""

    low: float
    step: float


@dataclass(frozen=True, kw_only=True)
class ConstantScale:
    """Of `precision.Scale`, for red, green and blue."""

    low: Triple
    step: Triple


@dataclass(frozen=True, kw_only=True)
class HarmonicsScale:
    """Of `precision.Scale`, for red, green and blue of each harmonic."""

    step: tuple[Triple, ...]


@dataclass(frozen=True, kw_only=True)
class Header:
    """The header, field by field as docs/web.md has it."""

    layout: int
    manifest: SceneManifest
    settings: dict[str, float]
    root_low: Triple
    sky: tuple[float, ...] | None
    bits: Bits
    density: DensityScale | None
    constant: ConstantScale | None
    harmonics: HarmonicsScale | None
    levels: tuple[Level, ...]
    voxel_points: int
    groups: tuple[Group, ...]

    @property
    def scales(self) -> Scales | None:
        """What whole numbers stand for. Raises ManifestError unless all are there, or none for floats."""
        density, constant, harmonics = self.density, self.constant, self.harmonics
        if self.bits.floats and density is constant is harmonics is None:
            return None
        if self.bits.floats or density is None or constant is None or harmonics is None:
            raise ManifestError(
                f"{FILE}: got bits {asdict(self.bits)} and "
                f"{sum(scale is None for scale in (density, constant, harmonics))} of 3 scales missing, "
                "expected all of them, or none for floats"
            )
        step = np.array(harmonics.step, np.float32).reshape(-1, 3)
        return Scales(
            Scale(np.array(density.low, np.float32), np.array(density.step, np.float32)),
            Scale(np.array(constant.low, np.float32), np.array(constant.step, np.float32)),
            Scale(np.zeros_like(step), step),
        )


def header_of(contents: Contents, manifest_json: str, groups: tuple[Group, ...]) -> Header:
    """The header of a scene in these files."""
    cells, scales = contents.cells, contents.scales
    density = constant = harmonics = None
    if scales is not None:
        density = DensityScale(low=_plain(scales.density.low), step=_plain(scales.density.step))
        constant = ConstantScale(low=_plain(scales.constant.low), step=_plain(scales.constant.step))
        harmonics = HarmonicsScale(step=_plain(scales.harmonics.step))
    return Header(
        layout=LAYOUT,
        manifest=build_record(SceneManifest, json.loads(manifest_json), "manifest"),
        settings=dict(contents.settings),
        root_low=_plain(contents.root_low),
        sky=None if contents.sky is None else _plain(contents.sky),
        bits=contents.bits,
        density=density,
        constant=constant,
        harmonics=harmonics,
        levels=tuple(
            Level(cells=here.stop - here.start, inner=int(cells.inner[here].sum()), inner_points=len(points))
            for here, points in zip(cells.slices(), contents.inner_points, strict=True)
        ),
        voxel_points=len(contents.voxel_points),
        groups=groups,
    )


def header_script(header: Header) -> bytes:
    """The content of `scene.js`; equal headers give equal bytes."""
    text = json.dumps(asdict(header), sort_keys=True, separators=(",", ":"), allow_nan=False)
    # In a page's script these end a line or a script.
    for character in ("\u2028", "\u2029", "<"):
        text = text.replace(character, f"\\u{ord(character):04x}")
    return f"{_BEGIN}{text}{_END}".encode()


def read_header(content: bytes) -> Header:
    """Inverse of `header_script`. Raises ManifestError that names the field when it is another file."""
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise ManifestError(f"{FILE}: is no text ({error})") from None
    if not (text.startswith(_BEGIN) and text.endswith(_END)):
        raise ManifestError(f"{FILE}: expected one line {_BEGIN}{{...}}{_END.strip()}, got {text[:40]!r} ...")
    try:
        data: Any = json.loads(text[len(_BEGIN) : -len(_END)])
    except (ValueError, RecursionError) as error:
        raise ManifestError(f"{FILE}: not valid JSON ({error})") from None
    layout = data.get("layout") if isinstance(data, Mapping) else None
    if layout != LAYOUT:
        raise ManifestError(f"{FILE}: layout is {layout!r}, this release reads {LAYOUT}; export again")
    try:
        header: Header = build_record(Header, data, FILE)
    except ConfigError as error:
        raise ManifestError(f"{FILE}: {error}") from None
    return header


def _plain(values: Any) -> Any:
    """Float32 numbers with as few digits as tell them apart; arrays as tuples."""
    if values.ndim == 0:
        return float(str(values))
    return tuple(map(_plain, values))
