"""Multiresolution hash grid (Müller et al. 2022, section 3).

Notation
    L levels, T rows of a level's table (a power of two), F features a row, N points
    scale_l = N_min b^l - 1, resolution_l = ceil(scale_l) + 1 vertices along an axis
    a point x in [0, 1]^3 lies at p = scale_l x + 0.5 of level l; the half staggers the levels

A level is stored densely if T rows hold it, up to the vertex beyond the far corner that a point at 1 reads;
others share rows by a spatial hash.
The default hash is additive, (x c^3 + y c^2 + z c) mod T with c = 2531011 ("BaseConvert"): it needs no bit
operation, so it exports everywhere, and spreads as evenly as the paper's XOR, which stays for comparison.
"""

from typing import Any, Final, Literal

import torch
from torch import Tensor, nn

from neurocity.errors import ConfigError
from neurocity.kernels import hash_grid as kernels
from neurocity.rendering.cpu_kernels import arrays, kernels_apply
from neurocity.rendering.cuda_kernels import cuda_kernels_apply, device_of
from neurocity.rendering.graph_target import gather_unchecked, materialize, recorded_for

HashKind = Literal["base_convert", "xor"]
_FACTORS: Final = {
    "base_convert": (2531011**3, 2531011**2, 2531011),
    "xor": (1, 2654435761, 805459861),
}


class HashGrid(nn.Module):
    """Trilinear interpolation in L tables of T rows.

    Rows start uniform in [-1e-4, 1e-4] (section 4 of the paper).
    """

    scales: Tensor
    axis_factors: Tensor
    resolutions: Tensor
    level_offsets: Tensor

    def __init__(
        self,
        *,
        levels: int,
        features: int,
        log2_rows: int,
        coarsest: int,
        finest: int,
        hash_kind: HashKind = "base_convert",
    ) -> None:
        super().__init__()
        if not 2 <= coarsest <= finest:
            raise ConfigError(
                f"hash grid resolutions: got {coarsest} to {finest}, expected 2 <= coarsest <= finest"
            )
        if not 1 <= levels <= 32 or features not in (1, 2, 4) or not 8 <= log2_rows <= 24:
            raise ConfigError(
                f"hash grid: got levels={levels}, features={features}, log2_rows={log2_rows}; "
                "expected 1-32, one of 1, 2, 4, and 8-24"
            )
        if hash_kind not in _FACTORS:
            raise ConfigError(f"hash_kind: got {hash_kind!r}, expected one of {sorted(_FACTORS)}")
        self.rows = 2**log2_rows
        self.xor = hash_kind == "xor"
        # Reduced modulo the table size: the same rows, and products that stay inside int64.
        fx, fy, fz = (factor % self.rows for factor in _FACTORS[hash_kind])
        self.factors = (fx, fy, fz)
        growth = (finest / coarsest) ** (1.0 / max(levels - 1, 1))
        scales = torch.tensor([coarsest * growth**level - 1.0 for level in range(levels)])
        resolutions = scales.ceil().long() + 1
        self.table = nn.Parameter(torch.empty(levels, self.rows, features).uniform_(-1e-4, 1e-4))
        self.register_buffer("scales", scales, persistent=False)
        self.register_buffer("resolutions", resolutions, persistent=False)
        last_row = resolutions * (1 + resolutions * (1 + resolutions))
        self.dense_levels = int((last_row < self.rows).sum())
        # int32 halves the traffic; large tables of fine levels need int64.
        fits = 3 * (int(resolutions.max()) + 1) * self.rows < 2**31
        self.index_type = torch.int32 if fits else torch.int64
        dense_factors = torch.stack([torch.ones_like(resolutions), resolutions, resolutions**2])
        factors = torch.where(last_row < self.rows, dense_factors, torch.tensor(self.factors)[:, None])
        offsets = torch.arange(levels) * self.rows
        self.register_buffer("axis_factors", factors[:, :, None].to(self.index_type), persistent=False)
        self.register_buffer("level_offsets", offsets[:, None].to(self.index_type), persistent=False)

    @property
    def width(self) -> int:
        """Number of features of a point, L F."""
        return self.table.shape[0] * self.table.shape[2]

    def forward(self, points: Tensor) -> Tensor:
        """points [3, N] in [0, 1] -> features [N, L F], level after level."""
        if kernels_apply(points) and self.table.dtype == torch.float32:
            return self.encode_compiled(points)
        if cuda_kernels_apply(points, self.training) and self.table.dtype != torch.float64:
            return self.encode_on_cuda(points)
        return self.encode(points)

    @torch.jit.unused
    def encode_compiled(self, points: Tensor) -> Tensor:
        """`encode` by the compiled CPU kernel."""
        scales, factors = arrays(self.scales, self.axis_factors[:, :, 0].to(torch.int32))
        levels = kernels.HashLevels(scales, factors, self.dense_levels, self.xor)
        encoded: Tensor = HashEncodeCPU.apply(points, self.table, levels)
        return encoded

    @torch.jit.unused
    def encode_on_cuda(self, points: Tensor) -> Tensor:
        """`encode` by the kernel for CUDA devices."""
        from neurocity.cuda_kernels.hash_grid import encode_hash_grid  # noqa: PLC0415, where triton is

        factors = self.axis_factors[:, :, 0]
        with device_of(points):
            return encode_hash_grid(points, self.table, self.scales, factors, self.dense_levels, self.xor)

    def encode(self, points: Tensor) -> Tensor:
        """The definition, in planes of [L, N] with the eight corners unrolled."""
        levels, rows, features = self.table.shape
        count = points.shape[1]
        points = materialize(points)
        places = [points[axis] * self.scales[:, None] + 0.5 for axis in range(3)]
        lower = [place.floor() for place in places]
        shares = [places[axis] - lower[axis] for axis in range(3)]
        weights = [[1.0 - share, share] for share in shares]
        index = self.row_indices([vertex.to(self.index_type) for vertex in lower])
        if recorded_for("compiler") or recorded_for("nodes"):
            return self.sum_by_feature(index, weights)
        table = self.table.view(levels * rows, features)
        total = torch.zeros(levels, count, features, dtype=points.dtype, device=points.device)
        for corner in range(8):
            weight = weights[0][corner & 1] * weights[1][(corner >> 1) & 1] * weights[2][corner >> 2]
            rows_of_corner = index[corner] + self.level_offsets
            values = nn.functional.embedding(rows_of_corner, table).to(weight.dtype)
            total = total + values * weight[:, :, None]
        return total.transpose(0, 1).reshape(count, levels * features)

    @torch.jit.unused
    def sum_by_feature(self, index: list[Tensor], weights: list[list[Tensor]]) -> Tensor:
        """The end of `encode` by whole planes [L, N] of a feature.

        Compilers turn them into vectors. Runtimes of nodes read and multiply single numbers in plain loops,
        where they call a function for each row and walk through shapes that differ.

        index: as `row_indices` gives it. weights: along x, y, z of the lower and the upper vertex, [L, N].
        """
        levels, rows, features = self.table.shape
        columns = self.table.view(levels * rows, features).unbind(1)
        planes = [torch.zeros_like(weights[0][0]) for _ in columns]
        for corner in range(8):
            weight = weights[0][corner & 1] * weights[1][(corner >> 1) & 1] * weights[2][corner >> 2]
            rows_of_corner = index[corner] + self.level_offsets
            if not recorded_for("compiler"):
                rows_of_corner = rows_of_corner.flatten().long()
            for feature, column in enumerate(columns):
                if recorded_for("compiler"):
                    # Rows are below the table's length by what they are made of: nothing to be checked.
                    values = gather_unchecked(column, rows_of_corner)
                else:
                    values = column.gather(0, rows_of_corner).view(levels, -1)
                planes[feature] = planes[feature] + values.to(weight.dtype) * weight
        return torch.stack([materialize(plane) for plane in planes], dim=1).flatten(0, 1).t()

    def row_indices(self, lower: list[Tensor]) -> list[Tensor]:
        """Row of each of a cell's eight vertices in its level's table; integer planes [L, N].

        lower: x, y, z of the first vertex; corner c is (c & 1, c >> 1 & 1, c >> 2) away from it. Dense and
        hashed levels differ in their factors only; the modulus changes nothing in a dense level.
        """
        steps = [[lower[axis], lower[axis] + 1] for axis in range(3)]
        terms = [[step * self.axis_factors[axis] for step in steps[axis]] for axis in range(3)]
        indices = lower[:0]
        for corner in range(8):
            x, y, z = terms[0][corner & 1], terms[1][(corner >> 1) & 1], terms[2][corner >> 2]
            if self.xor:
                dense = self.dense_levels
                index = torch.cat([(x + y + z)[:dense], (x ^ y ^ z)[dense:]])
            else:
                index = x + y + z
            indices.append(self.modulo_rows(index))
        return indices

    def modulo_rows(self, index: Tensor) -> Tensor:
        """index modulo the rows of a table. A bit mask does it where it can: processors divide slowly."""
        if recorded_for("tensorrt"):
            return index % self.rows  # it has no operation on bits
        return index & (self.rows - 1)


class HashEncodeCPU(torch.autograd.Function):
    """points [3, N] in [0, 1], table [L, T, F] -> features [N, L F]; differentiable in the table only."""

    @staticmethod
    def forward(ctx: Any, points: Tensor, table: Tensor, levels: kernels.HashLevels) -> Tensor:
        ctx.save_for_backward(points)
        ctx.shape, ctx.levels = table.shape, levels
        places, rows = arrays(points, table)
        return torch.from_numpy(kernels.encode(places, rows, levels, threads=torch.get_num_threads()))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        places, gradients = arrays(*ctx.saved_tensors, gradient)
        table = kernels.table_gradient(
            places, gradients, ctx.shape, ctx.levels, threads=torch.get_num_threads()
        )
        return None, torch.from_numpy(table), None
