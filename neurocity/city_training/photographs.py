"""The photographs of a part: of a block the pixels alone whose rays come to its region with light left."""

from collections.abc import Iterable, Iterator
from typing import Final

import numpy as np
import torch
from torch import Tensor

from neurocity.cameras import Rays
from neurocity.city_training.surroundings import Surroundings
from neurocity.data.datasets import TrainingRays, Views
from neurocity.data.scene import Frame, Scene
from neurocity.errors import DataError

LEAST_LEFT: Final = 0.1
"""Share of a ray's light that reaches the region, where it is trained on: what the coarse model hides says
little of a block."""
HELD_OUT_VIEWS: Final = 4
"""Of a block at most, those that show most of it."""
CHUNK: Final = 2**18


def named_frames(scene: Scene, names: Iterable[str]) -> tuple[Frame, ...]:
    """The training frames of these names. Raises DataError for names that the scene has not."""
    frames = {frame.name: frame for frame in scene.splits["train"]}
    names = list(names)
    if absent := [name for name in names if name not in frames]:
        raise DataError(
            f"{scene.root}: has no training photographs {', '.join(absent[:3])} ({len(absent)} of "
            f"{len(names)} of the plan are absent); give the data that the city was planned on, or plan again"
        )
    return tuple(frames[name] for name in names)


class BlockRays(TrainingRays):
    """Training rays of a block's photographs.

    Raises DataError as `TrainingRays`, and where no ray shows the region.
    """

    def __init__(
        self, frames: tuple[Frame, ...], surroundings: Surroundings, *, scene: Scene, seed: int, batches: int
    ) -> None:
        super().__init__(frames, scene=scene, seed=seed, batches=batches)
        kept = [chunk[self._shows(chunk, surroundings)] for chunk in self._chunks()]
        self.trainable = torch.cat(kept)
        if not len(self.trainable):
            raise DataError(
                f"{scene.root}: none of {len(frames)} photographs shows the block's region: the coarse model "
                "hides it in all of them; train that longer, or leave the block out of the plan"
            )

    def _chunks(self) -> Iterator[Tensor]:
        """The pixels that may be trained on, so many at once."""
        if self.trainable is not None:
            yield from self.trainable.split(CHUNK)
            return
        for first in range(0, len(self.rgba), CHUNK):
            yield torch.arange(first, min(first + CHUNK, len(self.rgba)))

    def _shows(self, pixels: Tensor, surroundings: Surroundings) -> Tensor:
        origins, directions, *_ = self.rays(pixels)
        return torch.from_numpy(shows(Rays(origins.numpy(), directions.numpy()), surroundings))


def shows(rays: Rays, surroundings: Surroundings) -> "np.ndarray[tuple[int], np.dtype[np.bool_]]":
    """Which rays come to the region with light left."""
    met = surroundings.region.met_by(rays)
    place = np.flatnonzero(met)
    left = surroundings.seen(rays[place], threads=torch.get_num_threads()).left
    met[place] = left >= LEAST_LEFT
    return met


def held_out_views(scene: Scene, surroundings: Surroundings) -> Views:
    """Those held-out views that show most of a region, in their order.

    One that shows nothing of it says nothing, and is there only where no other is. Raises DataError when
    nothing is held out.
    """
    if not scene.held_out:
        raise DataError(f"{scene.root}: has no val or test frames; a model is judged and exported by them")

    def share(frame: Frame) -> float:
        return float(shows(frame.camera.resized(32, 32).rays(), surroundings).mean())

    shares = np.array([share(frame) for frame in scene.held_out])
    order = np.argsort(-shares, kind="stable")[:HELD_OUT_VIEWS]
    chosen = sorted(order[shares[order] > 0.0].tolist()) or [int(order[0])]
    return Views([scene.held_out[number] for number in chosen])
