"""The stages of a check, in their order: what tells most comes first."""

from pathlib import Path
from typing import Any

from benchmarks.gpu.settings import TINY, Arguments, Stage

FULL_SIZES, QUICK_SIZES = ("800x800", "1920x1080"), ("32x32", "48x27")
FULL_CALLS, QUICK_CALLS = (4096, 16384, 65536, 262144), (512,)
"""Numbers of rays in a call of which the fastest is taken."""
KERNELS = ("svraster", "instant_ngp", "grid_nerf")
"""Families that kernels for CUDA devices render."""
COMPILED_RAYS, INTERPRETED_RAYS = 262144, 64
"""Rays with which a kernel is compared."""


def stages(arguments: Arguments, data: Path) -> list[Stage]:
    """All that is to be done with the dataset `data`, which is made first where it is not there."""
    quick = arguments.quick
    shared = {"device": arguments.device, "quick": quick, "out": str(arguments.out)}
    plan = [Stage(name="environment", task="environment", seconds=60.0, values=shared)]
    if not data.is_dir():
        plan.append(Stage(name="data", task="make_data", seconds=120.0, values={**shared, "data": str(data)}))
    seconds = arguments.train_seconds or (1.0 if quick else 45.0)
    for family in arguments.chosen:
        values = {
            **shared,
            "family": family,
            "data": str(data),
            "seconds": seconds,
            "precision": arguments.precision or ("16-mixed" if arguments.device == "cuda" else "bf16-mixed"),
            "changes": list(TINY.get(family, ())) if quick else [],
        }
        after = ("data",) if not data.is_dir() else ()
        plan.append(
            Stage(name=f"train {family}", task="train", seconds=seconds + 75.0, values=values, after=after)
        )
    frames = {
        "sizes": QUICK_SIZES if quick else FULL_SIZES,
        "calls": QUICK_CALLS if quick else FULL_CALLS,
        "views": 1 if quick else 2,
    }
    for family in arguments.chosen:
        values, after = {**shared, **frames, "family": family}, (f"train {family}",)
        plan.append(Stage(name=f"eager {family}", task="eager", seconds=60.0, values=values, after=after))
    for family in arguments.chosen:
        if family in KERNELS:
            plan += _kernels(family, {**shared, **frames, "family": family})
    pairs = _artefacts(arguments)
    for family, format_ in pairs:
        plan.append(_write(family, format_, shared))
    for family, format_ in pairs:
        plan.append(_run(family, format_, {**shared, **frames}))
    return plan


def _kernels(family: str, values: dict[str, Any]) -> list[Stage]:
    """What a family's kernels for CUDA devices do; interpreted on the CPU, where they make no frames."""
    compiled = values["device"] == "cuda"
    values |= {"rays": COMPILED_RAYS if compiled else INTERPRETED_RAYS}
    after = (f"train {family}",)
    found = [Stage(name=f"kernels {family}", task="kernels", seconds=120.0, values=values, after=after)]
    if compiled:
        after = (*after, f"eager {family}")
        found.append(
            Stage(
                name=f"eager {family} with kernels",
                task="with_kernels",
                seconds=60.0,
                values=values,
                after=after,
            )
        )
    return found


def _artefacts(arguments: Arguments) -> list[tuple[str, str]]:
    """Families and formats: every pair, or with --quick as few as have each of both."""
    families, formats = arguments.chosen, arguments.formats
    if not arguments.quick:
        return [(family, format_) for format_ in formats for family in families]
    number = max(len(families), len(formats)) if formats else 0
    return [(families[i % len(families)], formats[i % len(formats)]) for i in range(number)]


def _write(family: str, format_: str, shared: dict[str, Any]) -> Stage:
    return Stage(
        name=f"write {family} {format_}",
        task="write",
        seconds=180.0,
        values={**shared, "family": family, "format": format_},
        after=(f"train {family}",),
        beside=True,
    )


def _run(family: str, format_: str, shared: dict[str, Any]) -> Stage:
    return Stage(
        name=f"run {family} {format_}",
        task="run",
        seconds=60.0,
        values={**shared, "family": family, "format": format_},
        after=(f"eager {family}", f"write {family} {format_}"),
    )
