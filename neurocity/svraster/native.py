"""SVRaster as compiled kernels take it: records of voxels."""

from typing import Protocol

import numpy as np
import numpy.typing as npt

from neurocity.kernels.scene import SceneData
from neurocity.kernels.voxels import record_width


class VoxelModel(Protocol):
    """What `SVRaster` gives here."""

    def kernel_data(self) -> SceneData:
        """Its own tensors and numbers, see `kernels.voxels.render_voxels`."""


def scene_data(model: VoxelModel, dtype: type[np.float16 | np.float32]) -> SceneData:
    """The model as `kernels.voxels` lists it, with records in float32 or float16."""
    data = model.kernel_data()
    own = data.tensors
    number, others, channels = own["shs"].shape
    shs = own["shs"].reshape(number, others * channels)
    corners = own["density"][own["voxel_points"]]
    width = record_width(int(data.settings["sh_degree"]), dtype)
    records: npt.NDArray[np.floating] = np.zeros((number, width), dtype)
    values = np.concatenate([own["sh0"], shs, corners], axis=1)
    limit = np.finfo(dtype).max
    records[:, : values.shape[1]] = values.clip(-limit, limit)
    kept = {name: own[name] for name in ("children", "root_low", "sky") if name in own}
    return SceneData(data.kind, {**kept, "records": records}, data.settings)
