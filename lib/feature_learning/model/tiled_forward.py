"""Forward pass and gradient sums in torch, for any activation, precision and device."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from feature_learning.errors import ArgumentError, check_integer
from feature_learning.model.parameters import Parameters
from feature_learning.model.tiles import Tile, cut, default_tile_elements

if TYPE_CHECKING:
    from feature_learning.model.student import Student
    from feature_learning.model.teachers import Dataset


class _Share(NamedTuple):
    """The part of the parameters, or of a sum of their shape, that belongs to a tile."""

    w: Tensor  # (tile, fan_in, particles)
    a: Tensor  # (tile, particles, 1)
    c: Tensor  # (tile, 1, 0 or 1)


class TiledForward:
    r"""Forward pass and gradient of a batch of networks on one data set, in buffers made once.

    Work is cut into tiles of some chains on some samples. Two matrix products per tile dominate the
    arithmetic: pre-activations ``Z = X Wᵀ`` and ``Gᵀ = (r ∘ X)ᵀ φ'(Z)``. The residual of a tile is
    final after its own forward pass, so one pass over the data computes both, and the activations
    of a tile can stay in the cache. Samples are the rows of Z and particles its columns: the long
    sum over samples then runs along rows, at which matrix libraries reach full speed for a result
    as narrow as G.

    Parameters
    ----------
    student : Student
    data : Dataset
        Inputs (samples, dim) and labels (samples,).
    chains, particles : int
        Leading axes of the parameters; ``particles`` is the width for a network.
    scale : float
        f = scale · Σ_b a_b φ_b + c; N^(-γ) for a network, N^(1-γ)/M for a mean field.
    coupled : bool
        Whether :meth:`accumulate_gradients` gets a coupling (the self-energy of the mean field).
    tile_elements : int or None
        Upper bound for chains · particles · samples of a tile (at least one sample of one chain):
        the number of elements of an activation buffer. Memory is at most two such buffers, whatever
        the number of samples. None means
        :func:`~feature_learning.model.tiles.default_tile_elements`.

    Raises
    ------
    ArgumentError
        If a size is below 1 or the inputs do not have ``dim`` columns.
    """

    def __init__(
        self,
        student: Student,
        data: Dataset,
        *,
        chains: int,
        particles: int,
        scale: float,
        coupled: bool = False,
        tile_elements: int | None = None,
    ) -> None:
        check_integer("chains", chains, at_least=1)
        check_integer("particles", particles, at_least=1)
        if tile_elements is None:
            tile_elements = default_tile_elements(data.inputs.device)
        check_integer("tile_elements", tile_elements, at_least=1)
        if data.inputs.shape[1] != student.dim:
            raise ArgumentError(
                f"inputs must have dim = {student.dim} columns, not {data.inputs.shape[1]}"
            )
        self.student, self.chains, self.particles, self.scale = student, chains, particles, scale
        self.labels, n_train = data.labels, len(data)
        inputs = data.inputs
        if student.hidden_bias_variance is not None:
            inputs = torch.cat([inputs, inputs.new_ones(n_train, 1)], dim=1)
        self.tiles = cut(
            inputs,
            data.labels,
            chains=chains,
            particles=particles,
            elements=tile_elements,
            second_buffer=coupled or student.phi.needs_scratch,
        )
        self._inputs = inputs
        self._recalled: tuple[Parameters, list[_Share]] | None = None

    def refill(self, inputs: Tensor, labels: Tensor) -> None:
        """Replace the samples by the same number of others, without allocating new buffers.

        ``inputs`` has the shape (samples, dim), ``labels`` (samples,). This overwrites the memory
        of the data set from which the object was created, which should not be used elsewhere.

        Raises
        ------
        ArgumentError
            If the number of samples or of inputs differs.
        """
        if inputs.shape != (len(self), self.student.dim) or labels.shape != self.labels.shape:
            raise ArgumentError(
                f"inputs and labels must have the shapes {(len(self), self.student.dim)} and "
                f"{(len(self),)}, not {tuple(inputs.shape)} and {tuple(labels.shape)}"
            )
        self.labels.copy_(labels)
        dim = self.student.dim
        for tile in self.tiles:
            rows = inputs[tile.span]
            tile.inputs[:, :dim].copy_(rows)  # a column beyond dim is the 1 of the hidden bias
            tile.inputs_t[:dim].copy_(rows.t())

    def __len__(self) -> int:
        return self.labels.shape[0]

    def _shares(self, parameters: Parameters) -> list[_Share]:
        """The part of each tile, cached because every step passes the same object."""
        if self._recalled is not None and self._recalled[0] is parameters:
            return self._recalled[1]
        shares = [
            _Share(
                parameters.w[tile.chains].transpose(1, 2),
                parameters.a[tile.chains].unsqueeze(2),
                parameters.c[tile.chains].unsqueeze(1),
            )
            for tile in self.tiles
        ]
        self._recalled = parameters, shares
        return shares

    def _activate(self, share: _Share, tile: Tile) -> None:
        """Fill ``tile.z`` with φ (and its scratch with the values that the slope needs)."""
        if tile.z.shape[0] == 1:  # the plain product has less overhead than the batched one
            torch.mm(tile.inputs, share.w[0], out=tile.z[0])
        else:
            torch.bmm(tile.inputs_batch, share.w, out=tile.z)
        self.student.phi.value_(tile.z, tile.scratch)

    def _output(self, share: _Share, tile: Tile, minus: Tensor | None) -> None:
        """Fill ``tile.f`` with scale Σ_b a_b φ_b + c, minus the labels if given."""
        if minus is None:
            torch.bmm(tile.z, share.a, out=tile.f)
            tile.f.mul_(self.scale)
        else:
            torch.baddbmm(minus, tile.z, share.a, beta=-1, alpha=self.scale, out=tile.f)
        if share.c.shape[2]:
            tile.f.add_(share.c)

    def _walk(self, parameters: Parameters) -> Iterator[tuple[Tile, _Share]]:
        """Tiles with computed activations, and their parts of the parameters."""
        for tile, share in zip(self.tiles, self._shares(parameters), strict=True):
            self._activate(share, tile)
            yield tile, share

    def predict(self, parameters: Parameters, out: Tensor | None = None) -> Tensor:
        """The network output f on every sample, (chains, samples)."""
        if out is None:
            out = parameters.w.new_empty(self.chains, len(self))
        for tile, share in self._walk(parameters):
            self._output(share, tile, None)
            out[tile.chains, tile.span] = tile.f.squeeze(2)
        return out

    def features(self, w: Tensor) -> Tensor:
        """φ(w_b·x_μ) for all samples, (chains, particles, samples), in new memory."""
        out = w.new_empty(self.chains, self.particles, len(self))
        for tile, _ in self._walk(_weights_only(w)):
            out[tile.chains, :, tile.span] = tile.z.transpose(1, 2)
        return out

    def powers(self, w: Tensor) -> Tensor:
        """Σ_μ φ(w_b·x_μ)², (chains, particles), tile by tile."""
        out = w.new_zeros(self.chains, self.particles)
        for tile, _ in self._walk(_weights_only(w)):
            out[tile.chains] += tile.z.square().sum(dim=1)
        return out

    def gram(self, w: Tensor) -> tuple[Tensor, Tensor]:
        """ΦΦᵀ, (chains, particles, particles), and Φy, (chains, particles), in double precision.

        Computed tile by tile: memory does not grow with the number of samples.
        """
        gram = w.new_zeros(self.chains, self.particles, self.particles, dtype=torch.float64)
        phi_y = w.new_zeros(self.chains, self.particles, dtype=torch.float64)
        for tile, _ in self._walk(_weights_only(w)):
            phi_t = tile.z.transpose(1, 2)
            gram[tile.chains] += phi_t @ tile.z
            phi_y[tile.chains] += (phi_t @ tile.labels).squeeze(2)
        return gram, phi_y

    def accumulate_gradients(
        self,
        parameters: Parameters,
        *,
        scale_factor: float,
        grad_w: Tensor,
        grad_a: Tensor,
        coupling: Tensor | None = None,
        bias: Tensor | None = None,
    ) -> None:
        r"""Sums over the samples that make up the gradient of an energy of particles.

        With r_μ = f(x_μ) - y_μ the residual, k the scale factor and s the coupling (0 without)::

            grad_w[c,b,:]        = k a_b Σ_μ (r_μ + s_b φ(z_bμ)) φ'(z_bμ) x_μ
            grad_a[c,b]  = k     Σ_μ (r_μ + s_b φ(z_bμ)) φ(z_bμ)
            bias[c]             =       Σ_μ r_μ                         if given

        of shapes (chains, particles, fan_in), (chains, particles) and (chains, 1).
        For a homogeneous activation ``grad_a`` is w · grad_w before the factor a. ``grad_w``
        is filled fastest if it has the memory layout of ``Student.views``.
        """
        phi = self.student.phi
        for tile, share in self._walk(parameters):
            first, chains = tile.span.start == 0, tile.chains
            self._output(share, tile, tile.labels)
            if bias is not None:
                _accumulate(bias[chains], tile.f.sum(dim=1), first)
            s = None if coupling is None else coupling[chains].unsqueeze(1)
            # Use φ before the gate φ' overwrites it.
            if not phi.homogeneous:
                _add_product(grad_a[chains].unsqueeze(1), tile.f_row, tile.z, first)
                if s is not None:
                    norm = torch.linalg.vector_norm(tile.z, dim=1)
                    grad_a[chains].addcmul_(s.squeeze(1), norm.square_())
            target = grad_w[chains].transpose(1, 2)
            if s is None:
                torch.mul(tile.f_row, tile.inputs_t, out=tile.rx)
                _add_product(target, tile.rx, phi.slope_(tile.z, tile.scratch), first)
                continue
            if phi.homogeneous:  # φ φ' = φ: compute the gate in a copy
                gate = phi.slope_(tile.scratch.copy_(tile.z), tile.scratch).mul_(tile.f)
                gate.addcmul_(tile.z, s)
            else:
                gate = phi.slope_(tile.z, tile.scratch).mul_(tile.z.mul_(s).add_(tile.f))
            _add_product(target, tile.inputs_batch.transpose(1, 2), gate, first)
        if phi.homogeneous:
            torch.linalg.vecdot(parameters.w, grad_w, out=grad_a)
        grad_w.mul_((parameters.a * scale_factor).unsqueeze(2))
        grad_a.mul_(scale_factor)

    def accumulate_fixed_gradients(
        self,
        w: Tensor,
        *,
        residual: Tensor,
        grad_w: Tensor,
        grad_a: Tensor,
        grad_square: Tensor,
        square_sum: Tensor,
    ) -> None:
        r"""Sums over the samples at a residual that does not follow the particles.

        For a given ``residual`` r, (chains, samples)::

            grad_w[c,b,:]        = Σ_μ r_μ φ'(z_bμ) x_μ          (chains, particles, fan_in)
            grad_a[c,b]  = Σ_μ r_μ φ(z_bμ)               (chains, particles)
            grad_square[c,b,:]        = Σ_μ φ(z_bμ) φ'(z_bμ) x_μ      like ``grad_w``
            square_sum[c,b]  = Σ_μ φ(z_bμ)²                  like ``grad_a``

        For a homogeneous activation the two sums are w · grad_w and w · grad_square.
        """
        phi = self.student.phi
        for tile, _ in self._walk(_weights_only(w)):
            first, chains = tile.span.start == 0, tile.chains
            row = residual[chains, tile.span].unsqueeze(1)
            torch.mul(row, tile.inputs_t, out=tile.rx)
            if phi.homogeneous:  # φ φ' = φ
                self._add_grad_square(grad_square, tile, first)
            else:
                _add_product(grad_a[chains].unsqueeze(1), row, tile.z, first)
                norm = torch.linalg.vector_norm(tile.z, dim=1)
                _accumulate(square_sum[chains], norm.square_(), first)
            gate = phi.slope_(tile.z, tile.scratch)
            _add_product(grad_w[chains].transpose(1, 2), tile.rx, gate, first)
            if not phi.homogeneous:
                tile.z.mul_(gate)
                self._add_grad_square(grad_square, tile, first)
        if phi.homogeneous:
            torch.linalg.vecdot(w, grad_w, out=grad_a)
            torch.linalg.vecdot(w, grad_square, out=square_sum)

    def _add_grad_square(self, grad_square: Tensor, tile: Tile, first: bool) -> None:
        """Add Σ_μ z_bμ x_μ of one tile."""
        inputs = tile.inputs_batch.transpose(1, 2)
        _add_product(grad_square[tile.chains].transpose(1, 2), inputs, tile.z, first)


def _weights_only(w: Tensor) -> Parameters:
    """Parameters with hidden weights only."""
    return Parameters(w, w.new_empty(w.shape[0], 0), w.new_empty(w.shape[0], 0))


def _accumulate(total: Tensor, value: Tensor, first: bool) -> None:
    """Start or continue a sum over samples."""
    total.copy_(value) if first else total.add_(value)


def _add_product(total: Tensor, left: Tensor, right: Tensor, first: bool) -> None:
    """Start or continue a sum of batched matrix products, in place."""
    if left.shape[0] == 1:  # one product: the plain routine has less overhead than the batched one
        target, factors = total[0], (left[0], right[0])
        torch.mm(*factors, out=target) if first else target.addmm_(*factors)
    elif first:
        torch.bmm(left, right, out=total)
    else:
        total.baddbmm_(left, right)
