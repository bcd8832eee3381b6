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
    shs = own["shs"]
    columns = own["sh0"], shs.reshape(len(shs), 3 * shs.shape[1]), own["density"][own["voxel_points"]]
    values = np.concatenate(columns, axis=1)
    width = record_width(int(data.settings["sh_degree"]), dtype)
    records: npt.NDArray[np.floating] = np.zeros((len(values), width), dtype)
    largest = np.finfo(dtype).max
    records[:, : values.shape[1]] = values.clip(-largest, largest)
    kept = {name: own[name] for name in ("children", "root_low", "sky") if name in own}
    return SceneData(data.kind, {**kept, "records": records}, data.settings)
