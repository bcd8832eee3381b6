"""Lens models by their COLMAP and nerfstudio names, as the three that `Camera` has."""

from collections.abc import Mapping

from neurocity.errors import DataError
from neurocity.lenses import LENS_PARAMETERS, PINHOLE, Lens, LensModel

_FAMILIES: dict[str, tuple[LensModel, tuple[str, ...]]] = {
    "SIMPLE_PINHOLE": ("PINHOLE", ()),
    "PINHOLE": ("PINHOLE", ()),
    "SIMPLE_RADIAL": ("OPENCV", ("k1",)),
    "RADIAL": ("OPENCV", ("k1", "k2")),
    "OPENCV": ("OPENCV", ("k1", "k2", "p1", "p2", "k3")),
    "FULL_OPENCV": ("OPENCV", ("k1", "k2", "p1", "p2", "k3")),
    "SIMPLE_FISHEYE": ("OPENCV_FISHEYE", ()),
    "FISHEYE": ("OPENCV_FISHEYE", ()),
    "OPENCV_FISHEYE": ("OPENCV_FISHEYE", ("k1", "k2", "k3", "k4")),
    "SIMPLE_RADIAL_FISHEYE": ("OPENCV_FISHEYE", ("k1",)),
    "RADIAL_FISHEYE": ("OPENCV_FISHEYE", ("k1", "k2")),
}
"""The lens and the coefficients that may differ from zero, by model name."""


def lens_of(model: str, coefficients: Mapping[str, float]) -> Lens:
    """The lens of `model` (a COLMAP or nerfstudio name) with `coefficients` (k1, p1, ...; absent means 0).

    Raises DataError on a model that is not supported and on a coefficient that the model does not have. k4 to
    k6 of FULL_OPENCV divide, and k4 of nerfstudio's OPENCV multiplies r^8: neither is supported, so both must
    be 0.
    """
    if model not in _FAMILIES:
        raise DataError(
            f"camera model {model!r} is not supported, supported: {', '.join(_FAMILIES)}; "
            "undistort the images first (colmap image_undistorter)"
        )
    family, allowed = _FAMILIES[model]
    for name, value in coefficients.items():
        if value != 0.0 and name not in allowed:
            raise DataError(
                f"{name} = {value} is not supported with camera model {model}, which takes "
                f"{', '.join(allowed) or 'no distortion'}"
            )
    params = tuple(coefficients.get(name, 0.0) for name in LENS_PARAMETERS[family])
    if family == "OPENCV" and not any(params):
        return PINHOLE
    return Lens(family, params)
