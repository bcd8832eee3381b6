"""What scenes of marched fields have in common: their march, their sky, their networks.

Such a scene holds, by name:

    bounds [2, 3] float32           the box's low and high corner, world units
    jump [G^3] int8                 of the occupancy grid, see `rendering.occupancy`
    edges [points + 1] float32      of the intervals of an unbounded ray; [2] in bounded scenes
    sky [608] float32               weights of the sky's network, [32, 16] and then [3, 32]; only with a sky
    <net>.0, <net>.1, ...           weights [outputs, inputs] of a network's layers, float32 or float16

and the numbers of `SETTINGS` and `WHOLE_SETTINGS`, called as in `RayMarcher` and `MarchedField`.
"""

import ctypes
from itertools import count
from typing import Final, Self

import numpy as np

from neurocity.errors import ManifestError
from neurocity.kernels.checks import Bounds, places, sky_weights, tensor
from neurocity.kernels.march import MarchSpace
from neurocity.kernels.rays import address
from neurocity.kernels.scene import SceneData

MOST_CELLS, MOST_POINTS, MOST_WIDTH, MOST_LAYERS = 512, 10**6, 4096, 16

_SIZES = (1e-18, 1e18)
SETTINGS: Final[Bounds] = {
    "step": _SIZES,
    "side": _SIZES,
    "growth": _SIZES,
    "near": (0.0, 1e18),
    "far": (0.0, 1e18),
    "density_scale": (0.0, 1e18),
    "visible_weight": (0.0, 1.0),
    "least_light": (0.0, 1.0),
}
WHOLE_SETTINGS: Final[Bounds] = {"unbounded": (0, 1)}


class MarchedData(ctypes.Structure):
    """`MarchedData` of cpp/field.hpp. It points to `arrays`, which must live as long."""

    _fields_ = (
        ("space", MarchSpace),
        ("sky", ctypes.c_void_p),
        ("far", ctypes.c_float),
        ("density_scale", ctypes.c_float),
        ("visible_weight", ctypes.c_float),
        ("least_light", ctypes.c_float),
    )
    arrays: tuple[np.ndarray, ...]
    names: set[str]

    @classmethod
    def of(cls, data: SceneData) -> Self:
        """The march and sky of a scene whose settings have been checked. Raises ManifestError."""
        low, high = places(data, "bounds", (2, 3))
        jump = tensor(data, "jump", (np.int8,), (-1,))
        edges = tensor(data, "edges", (np.float32,), (-1,))
        grid = round(len(jump) ** (1 / 3))
        if grid**3 != len(jump) or not 1 <= grid <= MOST_CELLS:
            raise ManifestError(f"{data.kind}: got {len(jump)} cells, expected a cube of 1 to {MOST_CELLS}")
        if not 2 <= len(edges) <= MOST_POINTS:
            raise ManifestError(f"{data.kind}: got {len(edges)} edges, expected 2 to {MOST_POINTS}")
        sky = sky_weights(data)
        numbers = dict(data.settings)
        marched = cls(
            space=MarchSpace(
                jump=address(jump),
                edges=address(edges),
                grid=grid,
                points=len(edges) - 1,
                unbounded=int(numbers["unbounded"]),
                low=tuple(low.tolist()),
                high=tuple(high.tolist()),
                center=tuple(((low + high) / np.float32(2)).tolist()),
                **{name: numbers[name] for name in ("step", "side", "near", "growth")},
            ),
            sky=None if sky is None else address(sky),
            **{name: numbers[name] for name in ("far", "density_scale", "visible_weight", "least_light")},
        )
        marched.arrays = (jump, edges, *(() if sky is None else (sky,)))
        marched.names = {"bounds", "jump", "edges", "sky"}
        return marched


class NetworkData(ctypes.Structure):
    """`NetworkData` of cpp/mlp.hpp. It points to `arrays`, which must live as long."""

    _fields_ = (("weights", ctypes.c_void_p), ("widths", ctypes.c_void_p), ("layers", ctypes.c_int64))
    arrays: tuple[np.ndarray, np.ndarray]
    names: set[str]

    @classmethod
    def of(cls, data: SceneData, name: str, inputs: int) -> Self:
        """The network of that name, which takes so many inputs. Raises ManifestError."""
        layers: list[np.ndarray] = []
        for index in count():
            if index and f"{name}.{index}" not in data.tensors:
                break
            layer = tensor(data, f"{name}.{index}", (np.float32, np.float16), (-1, inputs))
            inputs = len(layer)
            layers.append(layer)
            if not 1 <= inputs <= MOST_WIDTH or len(layers) > MOST_LAYERS:
                raise ManifestError(
                    f"{data.kind}: got {name}.{index} {list(layer.shape)}, expected at most {MOST_LAYERS} "
                    f"layers of 1 to {MOST_WIDTH} outputs"
                )
        weights = np.concatenate([layer.ravel() for layer in layers]).astype(np.float32)
        widths = np.array([layers[0].shape[1], *map(len, layers)], np.int32)
        network = cls(address(weights), address(widths), len(layers))
        network.arrays = weights, widths
        network.names = {f"{name}.{index}" for index in range(len(layers))}
        return network

    @property
    def outputs(self) -> int:
        """Outputs of the last layer."""
        return int(self.arrays[1][-1])
