"""A radiance field small enough to export in seconds: a family of its own for the tests of `export`.

It does everything that a real family does in its render graph: ray and box, occupancy, evaluation of the
occupied samples alone (packed by a boolean index), compositing by exclusive cumulative sums.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from neurocity.errors import UnsupportedError
from neurocity.kernels.scene import SceneData

SAMPLES = 24
RESOLUTION = 8


class TinyRender(NamedTuple):
    rgb: Tensor
    depth: Tensor
    opacity: Tensor


class TinyFixedBudget(nn.Module):
    """The field evaluated at all its samples, of which the first `samples` occupied ones give light."""

    def __init__(self, field: "TinyField", samples: int) -> None:
        super().__init__()
        self.field = field
        self.samples = samples
        self.eval()

    def forward(self, ray_origins: Tensor, ray_directions: Tensor) -> TinyRender:
        field = self.field
        t, points, length, hit = field.candidates(ray_origins, ray_directions)
        hit = hit & (torch.cumsum(hit.float(), 1) <= self.samples)
        values = field.values(points, ray_directions[:, None].expand_as(points))
        sigma = torch.where(hit, nn.functional.softplus(values[..., 0]) * 4.0, 0.0)
        return field.composite(sigma, torch.sigmoid(values[..., 1:]), t, length)


class TinyField(nn.Module):
    """Uniform samples of a box, an occupancy grid and a two-layer MLP for density and colour."""

    needs_ray_radii = False

    bounds_min: Tensor
    bounds_max: Tensor
    occupied: Tensor
    fractions: Tensor

    def __init__(self, bounds: tuple[float, ...] = (-1.0, -1.0, -1.0, 1.0, 1.0, 1.0), seed: int = 0) -> None:
        super().__init__()
        self.samples = SAMPLES
        self.resolution = RESOLUTION
        generator = torch.Generator().manual_seed(seed)
        self.register_buffer("bounds_min", torch.tensor(bounds[:3]))
        self.register_buffer("bounds_max", torch.tensor(bounds[3:]))
        cells = torch.linspace(-1, 1, RESOLUTION)
        ball = torch.stack(torch.meshgrid(cells, cells, cells, indexing="ij"), -1).norm(dim=-1) < 0.9
        self.register_buffer("occupied", ball.flatten().to(torch.int32))
        self.register_buffer("fractions", (torch.arange(SAMPLES) + 0.5) / SAMPLES)
        self.hidden = nn.Linear(6, 16)
        self.out = nn.Linear(16, 4)
        for parameter in self.parameters():
            parameter.data = torch.randn(parameter.shape, generator=generator) * 0.7
            parameter.requires_grad_(False)
        self.eval()

    def forward(self, ray_origins: Tensor, ray_directions: Tensor) -> TinyRender:
        """ray_origins, ray_directions [R, 3] -> rgb [R, 3], depth [R], opacity [R]."""
        t, points, length, hit = self.candidates(ray_origins, ray_directions)
        directions = ray_directions[:, None].expand_as(points)
        values = self.values(points[hit], directions[hit])
        sigma = torch.zeros_like(t).index_put((hit,), nn.functional.softplus(values[:, 0]) * 4.0)
        colour = torch.zeros_like(points).index_put((hit,), torch.sigmoid(values[:, 1:]))
        return self.composite(sigma, colour, t, length)

    def candidates(
        self, ray_origins: Tensor, ray_directions: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Depths [R, S] and points [R, S, 3] of all samples, span [R] of rays, occupied samples [R, S]."""
        near, far = self._box(ray_origins, ray_directions)
        length = (far - near).clamp(min=0.0)
        t = near[:, None] + length[:, None] * self.fractions
        points = ray_origins[:, None] + t[..., None] * ray_directions[:, None]
        unit = (points - self.bounds_min) / (self.bounds_max - self.bounds_min)
        cell = (unit * self.resolution).clamp(0.0, self.resolution - 1.0).to(torch.int64)
        index = (cell[..., 0] * self.resolution + cell[..., 1]) * self.resolution + cell[..., 2]
        hit = (self.occupied.index_select(0, index.flatten()).reshape(index.shape) > 0) & (length > 0)[
            :, None
        ]
        return t, points, length, hit

    def values(self, points: Tensor, directions: Tensor) -> Tensor:
        """The network's raw density and colour [..., 4] at points [..., 3] seen along directions [..., 3]."""
        outputs: Tensor = self.out(torch.relu(self.hidden(torch.cat([points, directions], dim=-1))))
        return outputs

    def composite(self, sigma: Tensor, colour: Tensor, t: Tensor, length: Tensor) -> TinyRender:
        """The render of densities [R, S] and colours [R, S, 3] at depths [R, S] of spans [R]."""
        optical = sigma * (length / self.samples)[:, None]
        transmittance = torch.exp(-(torch.cumsum(optical, 1) - optical))
        weights = transmittance * (1 - torch.exp(-optical))
        opacity = weights.sum(1)
        depth = (weights * t).sum(1) / opacity.clamp(min=1e-6)
        return TinyRender((weights[..., None] * colour).sum(1), depth, opacity)

    @torch.jit.unused
    def fixed_budget(self, samples: int) -> nn.Module:
        """The render graph with at most `samples` samples a ray."""
        return TinyFixedBudget(self, samples)

    @torch.jit.unused
    def samples_needed(self, ray_origins: Tensor, ray_directions: Tensor) -> Tensor:
        """Occupied samples of rays [R, 3]: [R] int64."""
        return self.candidates(ray_origins, ray_directions)[3].sum(1)

    @torch.jit.unused
    def halve(self) -> None:
        """Nothing of so small a field: exports in fp16 are refused."""
        raise UnsupportedError("TinyField has no half precision")

    def scene_data(self) -> SceneData:
        """What `toy_kernels.TinyScene` renders."""
        return SceneData(
            "tiny",
            {name: tensor.numpy() for name, tensor in self.state_dict().items()},
            {"samples": self.samples, "resolution": self.resolution},
        )

    def sample_budget(self) -> dict[str, float]:
        """What bounds the samples of a ray."""
        return {"samples_per_ray": float(self.samples)}

    def _box(self, ray_origins: Tensor, ray_directions: Tensor) -> tuple[Tensor, Tensor]:
        tiny = torch.full_like(ray_directions, 1e-9)
        inverse = 1.0 / torch.where(ray_directions.abs() < 1e-9, tiny, ray_directions)
        a = (self.bounds_min - ray_origins) * inverse
        b = (self.bounds_max - ray_origins) * inverse
        return torch.minimum(a, b).amax(-1).clamp(min=0.0), torch.maximum(a, b).amin(-1)


class TinyConeField(TinyField):
    """The field seen through cones: the wider a ray's cone, the thinner what it meets."""

    needs_ray_radii = True
    usual_radius: Tensor

    def __init__(self, bounds: tuple[float, ...], usual_radius: float) -> None:
        super().__init__(bounds)
        self.register_buffer("usual_radius", torch.tensor(usual_radius))

    def forward(  # type: ignore[override]
        self, ray_origins: Tensor, ray_directions: Tensor, ray_radii: Tensor
    ) -> TinyRender:
        """ray_origins, ray_directions [R, 3], ray_radii [R, 1] -> rgb [R, 3], depth [R], opacity [R].

        A radius that is not positive stands for the usual one.
        """
        t, points, length, hit = self.candidates(ray_origins, ray_directions)
        directions = ray_directions[:, None].expand_as(points)
        values = self.values(points[hit], directions[hit])
        radii = torch.where(ray_radii > 0.0, ray_radii, self.usual_radius)
        thinner = (1.0 / (1.0 + radii * t))[hit]
        sigma = torch.zeros_like(t).index_put((hit,), nn.functional.softplus(values[:, 0]) * 4.0 * thinner)
        colour = torch.zeros_like(points).index_put((hit,), torch.sigmoid(values[:, 1:]))
        return self.composite(sigma, colour, t, length)
