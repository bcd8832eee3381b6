"""What users' own renderer draws, against the model, in pictures of the views that are kept
(`export.parity.golden`).

The model without quantisation must be the model's picture: quantisation hides what is nearly right, as a
wrong direction of view or light that ends too early. What was shipped must be as near as the limits of the
artefact say.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from export.checks import Check, at_least, at_most
from export.parity.metrics import psnr_db
from export.parity.tolerances import Tolerance
from export.renderer import Drawn
from neurocity.contract import SceneInfo, View
from neurocity.errors import ParityError
from neurocity.light import Float32, Light, over_background

PSNR_DB: Final = 100.0
LARGEST_ERROR: Final = 0.2 / 255
"""Of colour and opacity, far below what 8 bits show, and ten times what was measured."""


def unquantised_figures(
    views: Mapping[int, View], drawn: Drawn, expected: Sequence[Light]
) -> tuple[list[Check], dict[str, Any]]:
    """The checks of the pictures, and the figures behind them as the manifest keeps them.

    Raises ParityError when a picture is missing, or has another size than its view.
    """
    checks, rows = [], []
    for view, (rgb, opacity), wanted in _paired(views, drawn, expected):
        row = _figures(view, rgb, wanted.rgb)
        row["opacity"] = float(np.abs(opacity - wanted.opacity).max())
        where = f"view {view.name} without quantisation"
        checks += [
            at_least("psnr_db", where, row["psnr_db"], PSNR_DB),
            at_most("rgb error", where, row["rgb"], LARGEST_ERROR),
            at_most("opacity error", where, row["opacity"], LARGEST_ERROR),
        ]
        rows.append(row)
    return checks, _record(drawn, PSNR_DB, LARGEST_ERROR, rows)


def shipped_figures(
    views: Mapping[int, View],
    drawn: Drawn,
    expected: Sequence[Light],
    info: SceneInfo,
    tolerance: Tolerance,
) -> tuple[list[Check], dict[str, Any]]:
    """The same of what was drawn of the shipped files: the pictures over the scene's background.

    The errors of colour and opacity add up in them.
    """
    checks, rows = [], []
    largest = tolerance.rgb + tolerance.opacity
    for view, (rgb, opacity), wanted in _paired(views, drawn, expected):
        shown = over_background(rgb, opacity, info.background)
        row = _figures(view, shown, over_background(wanted.rgb, wanted.opacity, info.background))
        where = f"view {view.name} of the shipped files, drawn"
        checks += [
            at_least("psnr_db", where, row["psnr_db"], tolerance.psnr_db),
            at_most("rgb error", where, row["rgb"], largest),
        ]
        rows.append(row)
    return checks, _record(drawn, tolerance.psnr_db, largest, rows)


def _paired(
    views: Mapping[int, View], drawn: Drawn, expected: Sequence[Light]
) -> list[tuple[View, tuple[Float32, Float32], Light]]:
    if len(drawn.pictures) != len(views):
        raise ParityError(f"{drawn.by}: got {len(drawn.pictures)} pictures, expected {len(views)}")
    paired = list(zip(views.values(), drawn.pictures, expected, strict=True))
    for view, (rgb, opacity), wanted in paired:
        if rgb.shape != wanted.rgb.shape or opacity.shape != wanted.opacity.shape:
            raise ParityError(f"{drawn.by}: view {view.name}: got {rgb.shape}, expected {wanted.rgb.shape}")
    return paired


def _figures(view: View, rgb: Float32, wanted: Float32) -> dict[str, Any]:
    return {
        "view": view.name,
        "width": view.width,
        "height": view.height,
        "psnr_db": psnr_db(rgb, wanted),
        "rgb": float(np.abs(rgb - wanted).max()),
    }


def _record(drawn: Drawn, least_db: float, error: float, rows: list[dict[str, Any]]) -> dict[str, Any]:
    record = {"by": drawn.by, "instead_of": drawn.instead_of, "psnr_db": least_db, "error": error}
    return record | {"views": rows}
