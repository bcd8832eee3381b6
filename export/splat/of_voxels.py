"""A Gaussian for each voxel of an SVRaster model.

Notation
    N voxels, G Gaussians

A ray through the middle of a Gaussian meets the alpha of its voxel along a mean chord. Where voxels are
faint, they and their Gaussians take the same light, all directions together, if a Gaussian's standard
deviation is sqrt(3 / (4 pi)) = 0.489 of a voxel's side. Dense ones then cover more than voxels do, and
pictures are blurred; where they are much smaller, gaps show. `DEVIATION` was measured, see docs/splat.md.
"""

from typing import TYPE_CHECKING, Final

import numpy as np
import torch

from export.splat.gaussians import FAINTEST, Float32, Gaussians
from neurocity.errors import UnsupportedError
from neurocity.svraster.shading import explin, interpolate

if TYPE_CHECKING:
    from torch import Tensor

    from neurocity.svraster.core import SVRaster

CHORD: Final = 2.0 / 3.0
"""Mean length of lines through a cube of side 1: four volumes by its surface."""
DEVIATION: Final = 0.45
"""Standard deviation of the Gaussian of a voxel of side 1, see above."""


def gaussians_of(model: "SVRaster") -> tuple[Gaussians, tuple[str, ...]]:
    """The Gaussians of a model in the order of its voxels, and what they have of it, in sentences.

    Raises UnsupportedError when nothing is left.
    """
    with torch.no_grad():
        side = model.root_side / model.voxel_scale.double()
        opacity = -torch.expm1(-CHORD * model.density_scale * side * _mean_density(model))
        # NaN is kept too: the file is refused for it.
        kept = (~(opacity < FAINTEST)).nonzero().flatten()
        if not len(kept):
            raise UnsupportedError(
                f"splat cannot express this model: it has no voxels that take {FAINTEST:.1e} of the light, "
                "below which splat viewers draw nothing; train it first"
            )
        low = model.root_low[:, None].double() + model.root_side * model.voxel_low.double()
        colours = torch.cat([model.sh0[:, None], model.shs], dim=1)
        gaussians = Gaussians(
            centers=_floats((low + side / 2).t()[kept]),
            deviations=_floats(DEVIATION * side[kept]),
            opacities=_floats(opacity[kept]),
            colours=_floats(colours[kept]),
        )
    return gaussians, _remarks(model, gaussians)


def _mean_density(model: "SVRaster") -> "Tensor":
    """Activated densities [N] float64: means over the middles of a voxel's octants."""
    raw = model.density.double()[model.voxel_points.long()]
    middles = torch.cartesian_prod(*[torch.tensor([0.25, 0.75], dtype=torch.float64)] * 3).to(raw.device)
    values = [explin(interpolate(raw, middle[:, None].expand(3, len(raw)))) for middle in middles]
    return torch.stack(values).mean(0)


def _remarks(model: "SVRaster", gaussians: Gaussians) -> tuple[str, ...]:
    voxels = len(model.voxel_level)
    remarks = [
        f"{len(gaussians):,} Gaussians stand for {voxels:,} voxels; {voxels - len(gaussians):,} are left "
        "out, of which viewers would draw nothing (alpha below 1/255)."
    ]
    if model.config.unbounded:
        inside = model.root_side / 2.0**model.config.bounds_level
        middle = model.root_low.cpu().numpy() + model.root_side / 2
        outside = (np.abs(gaussians.centers - middle).max(1) > inside / 2).sum()
        largest = gaussians.deviations.max() / DEVIATION
        remarks.append(
            f"{int(outside):,} Gaussians are of the shells around the box, for voxels with sides of up to "
            f"{largest:.3g} units: what is far away is blurred, and viewers that frame a scene by its extent "
            "begin far outside."
        )
    if model.sky_enabled:
        remarks.append("The sky is left out of the file, and of the model that it is compared with.")
    return tuple(remarks)


def _floats(values: "Tensor") -> Float32:
    return values.float().cpu().numpy()
