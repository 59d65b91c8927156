r"""Overlap of one hidden neuron with the target: J_S(w) = E_x[φ(w·x) χ_S(x)].

By linearity ``m_S = N^(-γ) Σ_i a_i J_S(w_i)`` exactly; ``m̃_i = N^(1-γ) a_i J_S(w_i)`` is the
contribution of neuron i. For ReLU and inputs symmetric under x → -x,
``Σ(w) = E[φ(w·x)²] = |w|²/2`` exactly, and J_S vanishes for odd ``|S| > 1`` (the even part of a
ReLU is ``|z|/2``, and the odd part z/2 has degree one).
"""

from __future__ import annotations

import itertools
import math
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from feature_learning.errors import ArgumentError, check_integer, check_real
from feature_learning.model.activations import activation

#: A tensor or a NumPy array.
ArrayLike = Tensor | NDArray[Any]


def sign_cube(dim: int) -> Tensor:
    """All 2^dim vectors of ±1, (2^dim, dim), float64; dim at most 20."""
    check_integer("dim", dim, at_least=1, at_most=20)
    bits = torch.arange(2**dim).unsqueeze(1) >> torch.arange(dim)
    return 1.0 - 2.0 * (bits & 1).double()


def enumerated_overlap(w: ArrayLike, sparsity: int, *, name: str = "relu") -> Tensor:
    """J_S(w) by enumeration of the cube {±1}^d, d ≤ 20, for w (..., dim): (...,), float64."""
    w = torch.as_tensor(w, dtype=torch.float64)
    cube = sign_cube(w.shape[-1])
    check_integer("sparsity", sparsity, at_least=0, at_most=w.shape[-1])
    chi = cube[:, :sparsity].prod(dim=1)
    values = activation(name).function(w @ cube.t())
    overlap: Tensor = torch.matmul(values, chi)
    return overlap.div(len(cube))


def gaussian_overlap(w: ArrayLike, sparsity: int, *, name: str = "relu") -> Tensor:
    r"""J_S(w) with the irrelevant coordinates summed by the central limit theorem.

    With k = ``sparsity`` and S the first k coordinates::

        J_S(w) = 2^(-k) Σ_{s∈{±1}^k} (Π_j s_j) G(s·w_S, τ),   τ = |w_{S^c}|
        G(c, τ) = E[φ(c + τ g)],  g ~ N(0, 1);  ReLU: G = c Φ(c/τ) + τ ϕ(c/τ)

    Exact in the limit of many irrelevant coordinates, none of them dominating; G(c, 0) = φ(c). For
    activations other than ReLU, G is a Gauss-Hermite sum of 40 terms. w has the shape (..., dim),
    the result (...,) in float64; k is at most 12.
    """
    w = torch.as_tensor(w, dtype=torch.float64)
    check_integer("sparsity", sparsity, at_least=1, at_most=12)
    if sparsity > w.shape[-1]:
        raise ArgumentError(f"sparsity must be at most dim = {w.shape[-1]}, not {sparsity}")
    mean = rectified_gaussian_mean if name == "relu" else partial(_gaussian_mean, name)
    tau = w[..., sparsity:].norm(dim=-1)
    total = torch.zeros_like(tau)
    for signs in itertools.product((1.0, -1.0), repeat=sparsity):
        c = w[..., :sparsity] @ torch.tensor(signs, dtype=torch.float64, device=w.device)
        total += math.prod(signs) * mean(c, tau)
    return total.div_(2**sparsity)


def _gaussian_mean(name: str, c: Tensor, tau: Tensor) -> Tensor:
    """E[φ(c + τ g)] of a smooth activation, by quadrature."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(40)
    phi, total = activation(name).function, torch.zeros_like(c)
    for node, weight in zip(nodes.tolist(), weights.tolist(), strict=True):
        total += weight * phi(c + node * tau)
    return total.div_(math.sqrt(2 * math.pi))


def rectified_gaussian_mean(c: Tensor, tau: Tensor) -> Tensor:
    """G(c, τ) = E[(c + τ g)_+] = c Φ(c/τ) + τ ϕ(c/τ), with G(c, 0) = (c)_+."""
    safe = tau.clamp_min(1e-300)
    z = c / safe
    density = torch.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)
    return torch.where(tau > 0, c * torch.special.ndtr(z) + safe * density, c.relu())


def neuron_overlaps(a: ArrayLike, overlap: ArrayLike, *, width: int, gamma: float = 0.5) -> Tensor:
    """The contribution m̃_i = N^(1-γ) a_i J_S(w_i) of each neuron to the overlap; its mean is m_S.

    Parameters
    ----------
    a : array (..., particles)
        Readouts.
    overlap : array (..., particles)
        J_S(w_i) from :func:`gaussian_overlap` or :func:`enumerated_overlap`.
    width : int
        N of the student; the number of particles of a mean field may differ.
    gamma : float
        γ of the student.

    Returns
    -------
    Tensor (..., particles), float64
    """
    check_integer("width", width, at_least=1)
    check_real("gamma", gamma, at_least=0, at_most=2)
    a, overlap = (torch.as_tensor(each, dtype=torch.float64) for each in (a, overlap))
    if a.shape != overlap.shape:
        raise ArgumentError(
            f"overlap must have the shape of a, {tuple(a.shape)}, not {tuple(overlap.shape)}"
        )
    shares: Tensor = width ** (1 - gamma) * a * overlap
    return shares


def neuron_covariance(w: ArrayLike, inputs: ArrayLike, *, name: str = "relu") -> Tensor:
    """Σ(w) = E_x[φ(w·x)²], averaged over the rows of ``inputs``: test points, or the whole cube.

    w has the shape (..., dim), inputs (samples, dim), and the result (...,) in float64.
    """
    w, inputs = (torch.as_tensor(each, dtype=torch.float64) for each in (w, inputs))
    if inputs.ndim != 2 or len(inputs) == 0 or inputs.shape[1] != w.shape[-1]:
        raise ArgumentError(
            f"inputs must have the shape (samples, {w.shape[-1]}), not {tuple(inputs.shape)}"
        )
    covariance: Tensor = activation(name).function(w @ inputs.t()).square().mean(dim=-1)
    return covariance


def relu_covariance(w: ArrayLike) -> Tensor:
    """Σ(w) = ``|w|²/2`` of a ReLU neuron: exact for inputs of unit covariance with x ~ -x.

    w has the shape (..., dim), the result (...,) in float64.
    """
    return torch.as_tensor(w, dtype=torch.float64).square().sum(dim=-1) / 2
