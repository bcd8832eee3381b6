"""torch datasets over a scene's frames: random training rays, and whole views for validation."""

from collections.abc import Callable, Sequence
from typing import TypedDict

import torch
from torch import Tensor
from torch.utils.data import Dataset

from neurocity.data.pixels import PixelTable
from neurocity.data.scene import Frame


class RayBatch(TypedDict):
    """Training rays.

    ray_origins, ray_directions [R, 3] in world units, unit directions. ray_radii [R, 1]: of the pixels' cones
    at unit distance. rgba [R, 4] in [0, 1] with straight alpha. noise [R, 4] uniform in [0, 1): a background
    colour and a jitter for each ray.
    """

    ray_origins: Tensor
    ray_directions: Tensor
    ray_radii: Tensor
    rgba: Tensor
    noise: Tensor


class ViewBatch(TypedDict):
    """One view, row-major pixels: rays and rgba as in `RayBatch`, and the image's height and width."""

    ray_origins: Tensor
    ray_directions: Tensor
    ray_radii: Tensor
    rgba: Tensor
    height: int
    width: int
    name: str


class TrainingRays(Dataset[RayBatch]):
    """Batches of rays drawn uniformly, with replacement, from all trainable pixels of some frames.

    Item (step, count) is a batch of `count` rays that depends on nothing but the seed and the step, so that a
    resumed run sees what an uninterrupted one sees. An item of one number takes `rays_per_batch` rays.
    """

    def __init__(
        self,
        frames: Sequence[Frame],
        *,
        seed: int = 0,
        batches: int = 1000,
        rays_per_batch: int = 4096,
        on_frame: Callable[[], None] | None = None,
    ) -> None:
        table = PixelTable.load(frames, on_frame=on_frame)
        self.seed = seed
        self.batches = batches
        self.rays_per_batch = rays_per_batch
        self.rgba = torch.from_numpy(table.rgba)
        self.starts = torch.from_numpy(table.starts)
        self.rotations = torch.from_numpy(table.rotations)
        self.origins = torch.from_numpy(table.origins)
        self.directions = torch.from_numpy(table.directions)
        self.radii = torch.from_numpy(table.radii)
        self.direction_starts = torch.from_numpy(table.direction_starts)
        self.trainable = (
            None if table.trainable is None else torch.from_numpy(table.trainable).nonzero()[:, 0]
        )

    def to(self, device: torch.device) -> "TrainingRays":
        """Keep pixels and cameras on `device`; batches are made there."""
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                setattr(self, name, value.to(device))
        return self

    def __len__(self) -> int:
        return self.batches

    def __getitem__(self, index: int | tuple[int, int]) -> RayBatch:
        step, count = index if isinstance(index, tuple) else (index, self.rays_per_batch)
        device = self.rgba.device
        generator = torch.Generator(device).manual_seed(hash((self.seed, step)) % 2**63)
        number = len(self.rgba) if self.trainable is None else len(self.trainable)
        pixels = torch.randint(number, (count,), generator=generator, device=device)
        if self.trainable is not None:
            pixels = self.trainable[pixels]
        origins, directions, radii, rgba = self.rays(pixels)
        return RayBatch(
            ray_origins=origins,
            ray_directions=directions,
            ray_radii=radii,
            rgba=rgba.float() / 255.0,
            noise=torch.rand(count, 4, generator=generator, device=device),
        )

    def rays(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Origins [N, 3], unit directions [N, 3], radii [N, 1] and uint8 RGBA [N, 4] of flat pixels [N]."""
        views = torch.searchsorted(self.starts, pixels, right=True) - 1
        entries = self.direction_starts[views] + pixels - self.starts[views]
        directions = torch.einsum("nij,nj->ni", self.rotations[views], self.directions[entries])
        return self.origins[views], directions, self.radii[entries, None], self.rgba[pixels]


class Views(Dataset[ViewBatch]):
    """Whole frames, each as one item; images are decoded when they are asked for."""

    def __init__(self, frames: Sequence[Frame]) -> None:
        self.frames = tuple(frames)

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, index: int) -> ViewBatch:
        frame = self.frames[index]
        origins, directions = frame.camera.rays()
        return ViewBatch(
            ray_origins=torch.from_numpy(origins),
            ray_directions=torch.from_numpy(directions),
            ray_radii=torch.from_numpy(frame.camera.ray_radii())[:, None],
            rgba=torch.from_numpy(frame.load_image().reshape(-1, 4)).float() / 255.0,
            height=frame.camera.height,
            width=frame.camera.width,
            name=frame.name,
        )
