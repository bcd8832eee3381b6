"""Data and training of the check."""

from pathlib import Path
from typing import Any

from benchmarks.training_run import TrainingRun, measure
from neurocity.device import check_device

CITY, TINY_CITY = (100, 400), (20, 48)
"""Views of the city that is made, and pixels of their sides."""


def make_data(values: dict[str, Any]) -> dict[str, Any]:
    """A procedural city, cut out, seen from the air."""
    from neurocity.data.city.config import CityConfig  # noqa: PLC0415, where trimesh and embreex are
    from neurocity.data.city.generate import generate_city  # noqa: PLC0415

    views, side = TINY_CITY if values["quick"] else CITY
    config = CityConfig(views=views, width=side, height=side, cutout=True, street_share=0.0)
    generate_city(Path(values["data"]), config, overwrite=True)
    return {"views": views, "side": side}


def train(values: dict[str, Any]) -> dict[str, Any]:
    """One run: what `benchmarks.training_run.measure` gives, and the checkpoint's place."""
    check_device(values["device"])
    run = TrainingRun(
        family=values["family"],
        minutes=values["seconds"] / 60.0,
        data=Path(values["data"]),
        device=values["device"],
        precision=values["precision"],
        changes=tuple(values["changes"]),
        curve_views=1,
    )
    out = Path(values["out"]) / "runs" / values["family"]
    figures = measure(run, out)
    return {**figures, "precision": values["precision"], "train_seconds": values["seconds"]}
