"""Fitted models as modules of PyTorch that can be traced: rows in, unit rows out, their matrices in a precision.

The maps of `aligners` are written for speed over tiles, in place and with scratch memory; these say the same plainly.
Sums, norms and angles are float32 in every precision; what is made smaller are the matrices.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from anisoalign.aligners.anisoalign.aligner import AnisoAlign
from anisoalign.aligners.anisoalign.correction import Route
from anisoalign.aligners.anisoalign.path import Affine, Guide, Start
from anisoalign.aligners.anisoalign.polar_stage import PolarStage
from anisoalign.aligners.anisoalign.refinement import Bounds, log_radius
from anisoalign.aligners.base import Aligner
from anisoalign.aligners.memory_projection import MemoryProjection
from anisoalign.embeddings import InputError
from anisoalign.geometry.polar import to_cartesian, wrap

PRECISIONS = ("fp32", "fp16", "int8")
"""Of the matrices: float32; float16, products included; or whole numbers of 8 bits with a scale for each output."""


def serving_module(model: Aligner, precision: str = "fp32") -> nn.Module:
    """A module that maps raw embeddings, float32 (n, d), to what `model.transform` makes of them.

    A row that `transform` refuses, zero or with NaN or infinity in it, becomes a row of NaN: a traced function cannot
    refuse, and no index should take it for a vector.

    Parameters
    ----------
    model : Aligner
        Fitted, and a function of one row: c3 and random-target draw, so they are refused rather than exported as
        what they are not (c3 without its noise is mean-shift).
    precision : {"fp32", "fp16", "int8"}

    Raises
    ------
    InputError
        If the method draws at random, or the precision is unknown.

    Examples
    --------
    >>> import anisoalign as aa
    >>> rows = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    >>> model = aa.ReAlign().fit(rows, rows + 1)
    >>> served = serving_module(model)(torch.from_numpy(rows)).numpy()
    >>> bool(np.allclose(served, model.transform(rows), atol=1e-6))
    True
    """
    if precision not in PRECISIONS:
        raise InputError(f"the precision must be one of {', '.join(PRECISIONS)}, not {precision!r}")
    model._check_fitted()
    if isinstance(model, AnisoAlign):
        module: nn.Module = DialledRows(model, precision)
    elif isinstance(model, MemoryProjection):
        module = Memory(torch.from_numpy(np.array(model.rows_)), model.fitted_with["temperature"], precision)
    elif not draws(model):
        move = model._map(np.dtype(np.float32))
        module = AffineRows(move.weight, move.bias, move.shift, precision)
    else:
        hint = ": without its noise it is mean-shift, export that" if model.name == "c3" else ""
        raise InputError(f"{model.name} draws at random for each row, which no exported function does{hint}")
    return Served(module).eval().requires_grad_(False)


def draws(model: Aligner) -> bool:
    """Whether what a row is mapped to is drawn at random, by its number, and so no function of the row alone."""
    return not (model.takes_undivided or isinstance(model, AnisoAlign | MemoryProjection))


def directions(embeddings: Tensor) -> Tensor:
    """Raw rows divided by their norms; NaN where there is no direction: a zero row, or one with NaN or infinity.

    First by their largest value: squares of float32 overflow beyond about 1e19, and lose digits below 1e-19.
    """
    scaled = embeddings / embeddings.abs().amax(dim=-1, keepdim=True)
    return scaled / torch.linalg.vector_norm(scaled, dim=-1, keepdim=True)


def unit(rows: Tensor) -> Tensor:
    """Mapped rows divided by their norms; zero, as in `transform`, stays zero."""
    return rows / torch.linalg.vector_norm(rows, dim=-1, keepdim=True).clamp_min(1e-30)


class Served(nn.Module):
    """Makes rows unit, which raw embeddings need not be, and maps them; what has no direction becomes NaN."""

    def __init__(self, move: nn.Module):
        super().__init__()
        self.move = move

    def forward(self, embeddings: Tensor) -> Tensor:
        """Aligned rows (n, d) of embeddings (n, d)."""
        return self.move(directions(embeddings))


def _half(weight: Tensor) -> Tensor:
    """A matrix in float16, which ends at 65,504."""
    half = weight.half()
    if not bool(torch.isfinite(half).all()):
        largest = float(weight.abs().max())
        raise InputError(f"the model's largest weight is {largest:.3g}, beyond float16: export it as fp32 or int8")
    return half


class Product(nn.Module):
    """X Wᵀ, W of shape (out, in) kept in a precision."""

    weight: Tensor
    scale: Tensor

    def __init__(self, weight: Any, precision: str):
        super().__init__()
        weight = torch.as_tensor(weight).float().contiguous()
        self.precision = precision
        if precision == "int8":
            scale = weight.abs().amax(dim=1).clamp_min(1e-30) / 127
            self.register_buffer("scale", scale)
            self.register_buffer("weight", torch.round(weight / scale[:, None]).to(torch.int8))
        else:
            self.register_buffer("weight", _half(weight) if precision == "fp16" else weight.clone())

    def forward(self, rows: Tensor) -> Tensor:
        """The product, float32."""
        if self.precision == "int8":
            return (rows @ self.weight.float().T) * self.scale  # scaled after: fewer numbers than in W
        if self.precision == "fp16":
            return (rows.half() @ self.weight.T).float()
        return rows @ self.weight.T


class AffineRows(nn.Module):
    """Norm(W y + b), and where there is a shift Norm of that plus the shift."""

    factor: Tensor
    bias: Tensor
    shift: Tensor | None

    def __init__(self, weight: Any, bias: Any, shift: Any, precision: str):
        super().__init__()
        weight = torch.as_tensor(weight).float()
        self.product = Product(weight, precision) if weight.ndim == 2 else None
        self.register_buffer("factor", None if weight.ndim == 2 else weight.clone())
        self.register_buffer("bias", torch.as_tensor(bias).float().clone())
        self.register_buffer("shift", None if shift is None else torch.as_tensor(shift).float().clone())

    def forward(self, rows: Tensor) -> Tensor:
        """Mapped unit rows."""
        moved = unit((rows * self.factor if self.product is None else self.product(rows)) + self.bias)
        return moved if self.shift is None else unit(moved + self.shift)


class Memory(nn.Module):
    """Norm(Σ_j softmax_j(y·x_j / τ) x_j); rows of the memory kept in a precision."""

    def __init__(self, rows: Tensor, temperature: float, precision: str):
        super().__init__()
        self.near = Product(rows, precision)
        self.temperature = temperature

    def forward(self, rows: Tensor) -> Tensor:
        """Soft nearest neighbours of unit rows."""
        near = torch.softmax(self.near(rows) / self.temperature, dim=-1)
        if self.near.precision == "int8":
            return unit((near * self.near.scale) @ self.near.weight.float())
        return unit((near.to(self.near.weight.dtype) @ self.near.weight).float())


class Started(nn.Module):
    """Norm(μx + s (y − μy)): where the dial of AnisoAlign begins."""

    mean: Tensor
    target: Tensor

    def __init__(self, start: Start):
        super().__init__()
        self.register_buffer("mean", torch.from_numpy(start.source_mean).float())
        self.register_buffer("target", torch.from_numpy(start.target_mean).float())
        self.scale = start.scale

    def forward(self, rows: Tensor) -> Tensor:
        """Shifted and scaled rows of unit rows."""
        return unit(self.scale * (rows - self.mean) + self.target)


class Guided(nn.Module):
    """Norm(z + δ): the bounded step towards the targets that a row speaks of."""

    def __init__(self, guide: Guide, precision: str):
        super().__init__()
        self.estimate = AffineRows(guide.weight, guide.bias, None, precision)
        self.step, self.bound = guide.step, guide.bound

    def forward(self, rows: Tensor) -> Tensor:
        """Guided unit rows."""
        delta = (self.estimate(rows) - rows) * self.step
        length = torch.linalg.vector_norm(delta, dim=-1, keepdim=True)
        return unit(rows + delta * (self.bound / length.clamp_min(self.bound)))


class Refined(nn.Module):
    """Stages of the published method: polar coordinates in U, radial maps, the network within its bounds."""

    shift: Tensor
    centre: Tensor
    centre_inside: Tensor
    complement_mean: Tensor
    complement_scale: Tensor
    knots: Tensor | None
    levels: Tensor

    def __init__(self, stage: PolarStage, precision: str):
        super().__init__()
        self.into, self.back = Product(stage.basis.T, precision), Product(stage.basis, precision)
        basis, centre = stage.basis.float(), stage.centre.float()
        for name, value in (
            ("shift", stage.shift),
            ("centre", centre),
            ("centre_inside", (centre @ basis) @ basis.T),
            ("complement_mean", stage.complement_mean),
            ("complement_scale", stage.complement_scale),
            ("knots", None if stage.radial is None else stage.radial.source),
            ("levels", None if stage.radial is None else stage.radial.target),
        ):
            self.register_buffer(name, None if value is None else value.float().contiguous().clone())
        self.bounds: Bounds = stage.settings.bounds
        network = stage.refinement
        self.layers = nn.ModuleList()
        if network is not None:
            linear = [part for part in network.body if isinstance(part, nn.Linear)]
            self.layers.extend(Layer(part, precision) for part in (*linear, network.head))

    def forward(self, rows: Tensor) -> Tensor:
        """Refined unit rows."""
        moved = rows + self.shift
        coordinates = self.into(moved - self.centre)
        a, b = coordinates[:, 0::2], coordinates[:, 1::2]
        radius, phase = torch.sqrt(a * a + b * b), torch.atan2(b, a)
        if self.knots is not None:
            radius = self.mapped(radius, self.knots)
        scaled = (self.outside(moved) - self.complement_mean) * self.complement_scale
        complement = self.complement_mean + self.outside(scaled)
        if len(self.layers):
            phase, radius, complement = self.bounded(phase, radius, complement)
        return unit(self.back(to_cartesian(radius, phase)) + complement + self.centre_inside)

    def outside(self, rows: Tensor) -> Tensor:
        """The part in V."""
        return rows - self.back(self.into(rows))

    def mapped(self, radius: Tensor, knots: Tensor) -> Tensor:
        """Radial quantile maps: the segment of a radius is found by counting, which every runtime can."""
        levels = self.levels
        place = (radius[:, :, None] > knots).sum(dim=-1, keepdim=True).clamp(1, knots.shape[1] - 1)
        spread = (radius.shape[0], *knots.shape)
        low, high = (torch.gather(knots.expand(spread), 2, at)[:, :, 0] for at in (place - 1, place))
        start, end = (torch.gather(levels.expand(spread), 2, at)[:, :, 0] for at in (place - 1, place))
        return (start + (radius - low) * (end - start) / (high - low)).clamp_min(0.0)

    def bounded(self, phase: Tensor, radius: Tensor, complement: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """θ̂, ρ̂ and v̂ of `refinement.bounded`."""
        logs = log_radius(radius)
        hidden = torch.cat([torch.sin(phase), torch.cos(phase), logs, complement], dim=-1)
        for layer in self.layers[:-1]:
            hidden = nn.functional.silu(layer(hidden))
        out, blocks, bounds = self.layers[-1](hidden), phase.shape[1], self.bounds
        turned = wrap(phase + bounds.phase * torch.tanh(out[:, :blocks]))
        grown = radius * torch.exp(bounds.radius * torch.tanh(out[:, blocks : 2 * blocks]))
        move = self.outside(out[:, 2 * blocks :])
        if bounds.per_coordinate:
            return turned, grown, complement + self.outside(bounds.complement * torch.tanh(move))
        length = torch.linalg.vector_norm(move, dim=-1, keepdim=True)
        size = bounds.complement * torch.linalg.vector_norm(complement, dim=-1, keepdim=True)
        return turned, grown, complement + size * move * (torch.tanh(length) / length.clamp_min(1e-6))


class Layer(nn.Module):
    """A linear layer whose matrix is kept in a precision."""

    bias: Tensor

    def __init__(self, linear: nn.Linear, precision: str):
        super().__init__()
        self.product = Product(linear.weight.detach(), precision)
        self.register_buffer("bias", linear.bias.detach().float().clone())

    def forward(self, rows: Tensor) -> Tensor:
        """W x + b."""
        return self.product(rows) + self.bias


class DialledRows(nn.Module):
    """AnisoAlign at the strength in use: blend of two stations of its dial, centred on μx."""

    shift: Tensor

    def __init__(self, model: AnisoAlign, precision: str):
        super().__init__()
        correction = model.correction()
        routes, (station, self.share) = correction.routes(), correction.dial.between(model.strength_)
        self.start = nn.Sequential(*(_module(part, precision) for part in _all_parts(routes, station)))
        self.end, self.goes_on = None, False
        if self.share > 0.0:
            end = routes[station + 1]
            self.goes_on = end.origin == station
            parts = end.parts if self.goes_on else _all_parts(routes, station + 1)
            self.end = nn.Sequential(*(_module(part, precision) for part in parts))
        self.register_buffer("shift", torch.from_numpy(model._centre() - model.calibration_mean_).float())

    def forward(self, rows: Tensor) -> Tensor:
        """Aligned unit rows."""
        moved = start = self.start(rows)
        if self.end is not None:
            end = self.end(start if self.goes_on else rows)
            moved = unit(start + self.share * (end - start))
        return unit(moved + self.shift)


def _all_parts(routes: list[Route], station: int) -> list[Start | Affine | Guide | PolarStage]:
    """What leads from a source row to a station."""
    origin, parts = routes[station]
    return [*([] if origin is None else _all_parts(routes, origin)), *parts]


def _module(part: Start | Affine | Guide | PolarStage, precision: str) -> nn.Module:
    if isinstance(part, Start):
        return Started(part)
    if isinstance(part, Guide):
        return Guided(part, precision)
    if isinstance(part, PolarStage):
        return Refined(part, precision)
    return AffineRows(part.weight, part.bias, part.shift, precision)
