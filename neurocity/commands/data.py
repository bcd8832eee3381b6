"""`neurocity data`."""

import json
from collections.abc import Iterator

from neurocity.cli import Data
from neurocity.data.load import load_scene
from neurocity.data.sheet import draw_sheet
from neurocity.data.summary import Intrinsics, SceneSummary, summarise
from neurocity.errors import DataError


def run(arguments: Data) -> None:
    """Print what was read, and draw it if asked to. Raises DataError."""
    scene = load_scene(
        arguments.path,
        downscale=arguments.downscale,
        missing=arguments.missing,
        bounds=arguments.bounds,
        unbounded=arguments.unbounded,
    )
    summary = summarise(scene)
    if arguments.picture is not None:
        try:
            draw_sheet(scene).save(arguments.picture)
        except (OSError, ValueError) as error:
            raise DataError(f"{arguments.picture}: the picture cannot be written ({error})") from None
    if arguments.json:
        print(json.dumps(summary.to_json(), indent=2))
    else:
        print(*lines(summary), sep="\n")


def lines(summary: SceneSummary) -> Iterator[str]:
    """What was read, a line each, and the remarks below."""
    kind = "the near part; more lies around it" if summary.unbounded else "all there is"
    rows = [("dataset", f"{summary.root} ({summary.layout})"), ("frames", _frames(summary))]
    rows += [("cameras", _camera(each)) for each in summary.cameras]
    rows += [
        ("positions", _box(summary.camera_bounds)),
        ("bounds", f"{_box(summary.bounds)} ({kind})"),
        ("up", _numbers(summary.up)),
        ("points", f"{summary.points:,}" if summary.points else "none"),
    ]
    rows += [("origin", _numbers(summary.origin))] * any(summary.origin)
    yield from (f"{name:<10} {text}" for name, text in rows)
    yield from (f"- {remark}" for remark in summary.remarks)


def _camera(kind: Intrinsics) -> str:
    coefficients = "with coefficients of their own"
    if kind.params is not None:
        coefficients = " ".join(f"{name} {value:.4g}" for name, value in kind.params.items())
    lens = f"{kind.lens} {coefficients}".strip()
    return (
        f"{kind.frames} of {kind.width}x{kind.height}, {lens}, "
        f"fl_x {_range(kind.fl_x)}, fl_y {_range(kind.fl_y)}"
    )


def _frames(summary: SceneSummary) -> str:
    parts = []
    for split, each in summary.splits.items():
        if summary.same_held_out and split == "test":
            continue
        name = "held out" if summary.same_held_out and split == "val" else split
        counts = (("masks", each.masks), ("alpha", each.alpha))
        more = ", ".join(f"{count} with {what}" for what, count in counts if count)
        parts.append(f"{each.frames} {name}" + (f" ({more})" if more else ""))
    return ", ".join(parts)


def _numbers(values: tuple[float, ...]) -> str:
    return " ".join(f"{value:.6g}" if abs(value) < 1e5 else f"{value:.3f}" for value in values)


def _box(values: tuple[float, ...]) -> str:
    return f"{_numbers(values[:3])} to {_numbers(values[3:])}"


def _range(values: tuple[float, float]) -> str:
    low, high = values
    return f"{low:.6g}" if low == high else f"{low:.6g} to {high:.6g}"
