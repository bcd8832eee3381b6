"""torch datasets over a scene's frames: random training rays, and whole views for validation."""

import copy
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple, Self, TypedDict

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from neurocity.cameras import Camera
from neurocity.data.pixels import load_pixels, shared_directions
from neurocity.data.scene import Frame, Scene
from neurocity.errors import DataError


class RayBatch(TypedDict):
    """Training rays.

    ray_origins, ray_directions [R, 3] in world units, unit directions. ray_radii [R, 1]: of the pixels' cones
    at unit distance. rgba [R, 4] in [0, 1] with straight alpha. view_index [R], int64: which training frame a
    ray is of. noise [R, 4] uniform in [0, 1): a background colour and a jitter for each ray.
    """

    ray_origins: Tensor
    ray_directions: Tensor
    ray_radii: Tensor
    rgba: Tensor
    view_index: Tensor
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


class BatchIndex(NamedTuple):
    """Which batch a model wants: of which step, with how many rays, in squares of how many pixels a side."""

    step: int
    rays: int
    square_side: int = 1


class TrainingRays(Dataset[RayBatch]):
    """Batches of rays drawn uniformly, with replacement, from all trainable pixels of some frames.

    A batch depends on nothing but the seed and its index, so that a resumed run sees what an uninterrupted
    one sees. A plain number as index stands for a step's batch of `rays_per_batch` rays.

    frames: a scene's training frames. scene: where they are from; `training_datasets` gives it. seed: of the
    random rays. batches: how many items an epoch has.
    Raises DataError as `load_pixels` and `shared_directions` do.

    points: the scene's sparse points [N, 3], float32 world units, or None. unbounded: whether the images show
    more than the scene's bounds hold; without a scene, whether no pixel is transparent.
    """

    def __init__(
        self,
        frames: Sequence[Frame],
        *,
        scene: Scene | None = None,
        seed: int = 0,
        batches: int = 1000,
        rays_per_batch: int = 4096,
    ) -> None:
        rgba, starts, trainable = load_pixels(frames)
        self.frames = tuple(frames)
        self.scene = scene
        self.seed = seed
        self.batches = batches
        self.rays_per_batch = rays_per_batch
        self.rank, self.ranks = 0, 1
        self.rgba, self.starts = torch.from_numpy(rgba), torch.from_numpy(starts)
        self.trainable = None if trainable is None else torch.from_numpy(trainable).nonzero()[:, 0]
        self.directions, self.radii, self.direction_starts = map(torch.from_numpy, shared_directions(frames))
        poses = torch.from_numpy(np.stack([frame.camera.camera_to_world for frame in frames])).float()
        self.rotations, self.origins = poses[:, :3, :3].contiguous(), poses[:, :3, 3].contiguous()
        self.widths = torch.tensor([frame.camera.width for frame in frames])
        points = None if scene is None else scene.points
        self.points = None if points is None else torch.from_numpy(points).float()
        self.unbounded = bool((self.rgba[:, 3] == 255).all()) if scene is None else scene.unbounded

    def to(self, device: torch.device) -> Self:
        """These rays with pixels and cameras on `device`, where batches are then made."""
        moved = copy.copy(self)
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                setattr(moved, name, value.to(device))
        return moved

    def part(self, rank: int, ranks: int) -> Self:
        """These rays for one of `ranks` processes: of every batch each takes another part, of equal size."""
        partial = copy.copy(self)
        partial.rank, partial.ranks = rank, ranks
        return partial

    def alpha_views(self) -> list[tuple[Camera, Tensor]]:
        """Each training camera with its image's alpha [H, W] in [0, 1], on the CPU."""
        alpha = self.rgba[:, 3].cpu().float() / 255.0
        edges = self.starts.tolist()
        return [
            (frame.camera, alpha[begin:end].view(frame.camera.height, frame.camera.width))
            for frame, (begin, end) in zip(self.frames, pairwise(edges), strict=True)
        ]

    def __len__(self) -> int:
        return self.batches

    def __getitem__(self, index: int | BatchIndex) -> RayBatch:
        return self.batch(*index) if isinstance(index, tuple) else self.batch(index, self.rays_per_batch)

    def batch(self, step: int, count: int, square_side: int = 1) -> RayBatch:
        """Random rays, in squares of `square_side` by `square_side` pixels, which meet the same places.

        Several processes take equal parts of a batch, which then has a few rays more where it must.
        """
        count = -(-count // self.ranks) * self.ranks
        device = self.rgba.device
        generator = torch.Generator(device).manual_seed(hash((self.seed, step)) % 2**63)
        pixels = (
            self._draw(count, generator)
            if square_side == 1
            else self._draw_squares(count, square_side, generator)
        )
        noise = torch.rand(count, 4, generator=generator, device=device)
        size = count // self.ranks
        part = slice(self.rank * size, (self.rank + 1) * size)
        origins, directions, radii, rgba, views = self.rays(pixels[part])
        return RayBatch(
            ray_origins=origins,
            ray_directions=directions,
            ray_radii=radii,
            rgba=rgba.float() / 255.0,
            view_index=views,
            noise=noise[part],
        )

    def _draw(self, count: int, generator: torch.Generator) -> Tensor:
        """Flat indices [count] of trainable pixels."""
        number = len(self.rgba) if self.trainable is None else len(self.trainable)
        pixels = torch.randint(number, (count,), generator=generator, device=self.rgba.device)
        return pixels if self.trainable is None else self.trainable[pixels]

    def _draw_squares(self, count: int, side: int, generator: torch.Generator) -> Tensor:
        """As `_draw`, in squares of pixels.

        Squares wrap around at the edges of their image, and masked pixels are drawn anew, so that all pixels
        are equally likely.
        """
        device = self.rgba.device
        corner = torch.randint(len(self.rgba), (-(-count // side**2), 1), generator=generator, device=device)
        view = torch.searchsorted(self.starts, corner, right=True) - 1
        start, width = self.starts[view], self.widths[view]
        height = (self.starts[view + 1] - start) // width
        step = torch.arange(side**2, device=device)
        row = ((corner - start) // width + step // side) % height
        column = ((corner - start) % width + step % side) % width
        pixels = (start + row * width + column).flatten()[:count]
        if self.trainable is None:
            return pixels
        place = torch.searchsorted(self.trainable, pixels).clamp(max=len(self.trainable) - 1)
        return torch.where(self.trainable[place] == pixels, pixels, self._draw(count, generator))

    def rays(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Of flat pixels [N]: rays, colours, and which frames they are of.

        Origins [N, 3], unit directions [N, 3], radii [N, 1], uint8 RGBA [N, 4], frames [N].
        """
        views = torch.searchsorted(self.starts, pixels, right=True) - 1
        entries = self.direction_starts[views] + pixels - self.starts[views]
        directions = torch.einsum("nij,nj->ni", self.rotations[views], self.directions[entries])
        return self.origins[views], directions, self.radii[entries, None], self.rgba[pixels], views


class Views(Dataset[ViewBatch]):
    """Whole frames, each as one item; images are decoded when they are asked for."""

    def __init__(self, frames: Sequence[Frame]) -> None:
        self.frames = tuple(frames)

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, index: int) -> ViewBatch:
        frame = self.frames[index]
        origins, directions, radii = frame.camera.rays(radii=True).arrays()
        return ViewBatch(
            ray_origins=torch.from_numpy(origins),
            ray_directions=torch.from_numpy(directions),
            ray_radii=torch.from_numpy(radii),
            rgba=torch.from_numpy(frame.load_image().reshape(-1, 4)).float() / 255.0,
            height=frame.camera.height,
            width=frame.camera.width,
            name=frame.name,
        )


def training_datasets(
    scene: Scene, *, seed: int = 0, batches: int = 1000, rays_per_batch: int = 4096
) -> tuple[TrainingRays, Views]:
    """The training rays of a scene, as `TrainingRays` takes them, and its held-out views.

    Raises DataError as `TrainingRays` does, and when nothing is held out to judge a model by.
    """
    if not scene.held_out:
        raise DataError(f"{scene.root}: has no val or test frames; a model is judged and exported by them")
    train = scene.splits["train"]
    rays = TrainingRays(train, scene=scene, seed=seed, batches=batches, rays_per_batch=rays_per_batch)
    return rays, Views(scene.held_out)


def uncollated(batch: Mapping[str, Any]) -> dict[str, Any]:
    """A `RayBatch` or `ViewBatch` without the batch axis that a DataLoader may have put before it.

    Batches of rays are joined to one. Raises DataError for more than one view: views differ in size.
    """
    if batch["rgba"].dim() == 2:
        return dict(batch)
    if "height" not in batch:
        return {name: rays.flatten(0, 1) for name, rays in batch.items()}
    if len(batch["name"]) != 1:
        raise DataError(
            f"got {len(batch['name'])} views in a batch, expected one: DataLoader(val_dataset, batch_size=1)"
        )
    return {name: values[0] for name, values in batch.items()}
