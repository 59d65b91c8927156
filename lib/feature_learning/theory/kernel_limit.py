r"""Infinite width: the network posterior at γ = ½, N → ∞ is kernel ridge regression (NNGP).

The kernel and the predictor, for training inputs X with labels y, are::

    K(x,x') = σ_a² E[φ(u) φ(v)] + σ_c²,   (u,v) ~ N(0, S),  S(x,x') = σ_w² x·x'/d + σ_b²
    posterior mean  f(x) = K(x,X) (K(X,X) + κ²P I)⁻¹ y

ReLU (Cho and Saul 2009): ``E[φφ'] = √(S₁₁S₂₂) (sin θ + (π-θ) cos θ)/(2π)``; erf (Williams 1998):
``(2/π) asin(2S₁₂/√((1+2S₁₁)(1+2S₂₂)))``; linear: ``S₁₂``. The ridge κ²P matches T = 2κ² on the MSE.

The *as-published* variant, according to our reading of the public code, omits the 1/d in S, uses
the ridge κ², and evaluates on 50,000 points whose first P are the training set.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from feature_learning import choices
from feature_learning.errors import ArgumentError, check_choice, check_scale
from feature_learning.inference.observables import decompose
from feature_learning.model.factors import cholesky
from feature_learning.model.student import Student
from feature_learning.model.teachers import Dataset

#: Activations whose Gaussian expectation is implemented in closed form.
KERNELS = ("relu", "erf", "linear")


@dataclass(frozen=True)
class KernelResult:
    """Posterior-mean predictor of the infinite-width network.

    Attributes
    ----------
    test_mse : float
        Test MSE of the posterior mean (not half of it).
    m_S : float
        Overlap of the posterior mean with the target.
    noise : float
        Noise of the posterior mean.
    train_mse : float
        Training MSE of the posterior mean.
    predictions : Tensor
        Posterior mean on the evaluation points, (samples,), float64.
    """

    test_mse: float
    m_S: float
    noise: float
    train_mse: float
    predictions: Tensor


def kernel(student: Student, left: Tensor, right: Tensor, *, normalised: bool = True) -> Tensor:
    """``K(x,x')``, (n, m), for x in ``left`` (n, dim) and ``x'`` in ``right`` (m, dim).

    ``normalised=False`` omits the 1/d of the weight variance (the as-published variant).

    Raises
    ------
    ArgumentError
        If the activation has no closed form, or γ ≠ ½, where there is no such limit.
    """
    check_choice("activation", student.activation, KERNELS)
    if student.gamma != 0.5:
        raise ArgumentError(
            f"gamma must be 0.5 for the infinite-width limit, not {student.gamma!r}"
        )
    variance = student.weight_variance / (student.dim if normalised else 1)
    bias = student.hidden_bias_variance or 0.0
    cross = torch.mm(left, right.t()).mul_(variance).add_(bias)
    first = left.square().sum(dim=1, keepdim=True) * variance + bias
    second = (right.square().sum(dim=1, keepdim=True) * variance + bias).t()
    if student.activation == "relu":
        norms = (first * second).sqrt()
        cosine = cross.div_(norms).clamp_(-1, 1)
        angle = cosine.acos()
        # sin θ + (π - θ) cos θ, reusing the two n × m buffers.
        value = cosine.mul_(math.pi - angle).add_(angle.sin_()).mul_(norms / (2 * math.pi))
    elif student.activation == "erf":
        value = cross.mul_(2).div_(((1 + 2 * first) * (1 + 2 * second)).sqrt())
        value = value.asin_().mul_(2 / math.pi)
    else:
        value = cross
    return value.mul_(student.readout_variance).add_(student.output_bias_variance or 0.0)


def solve(
    student: Student,
    data: Dataset,
    test: Dataset,
    *,
    kappa: float,
    variant: str = "matched",
    block: int = 2000,
) -> KernelResult:
    """Kernel ridge regression at infinite width.

    Parameters
    ----------
    student : Student
        Prior variances and activation; the width has no effect.
    data, test : Dataset
        Training set and evaluation points. For the as-published variant the evaluation points must
        begin with the training set (:func:`as_published_points`).
    kappa : float
        Noise scale.
    variant : str
        ``matched`` (the equations of the module docstring) or ``as-published``.
    block : int
        Evaluation points per block: memory is P² + P · block doubles.

    Raises
    ------
    ArgumentError
        If a number, the variant or the activation is out of range.
    """
    check_scale("kappa", kappa)
    matched = check_choice("variant", variant, choices.NNGP_VARIANTS) == "matched"
    inputs, labels, n_train = data.inputs.double(), data.labels.double(), len(data)
    ridge = kappa**2 * (n_train if matched else 1)
    system = kernel(student, inputs, inputs, normalised=matched)
    system.diagonal().add_(ridge)
    factor = cholesky(system, kappa=kappa, what=f"the kernel matrix with ridge {ridge:.3g}")
    weights = torch.cholesky_solve(labels.unsqueeze(1), factor).squeeze(1)
    del system, factor
    # The training residual y - K w equals ridge · w, so no second product is needed.
    train_mse = float((ridge * weights).square().mean())
    predictions = torch.cat(
        [
            kernel(student, points.double(), inputs, normalised=matched) @ weights
            for points in torch.split(test.inputs, block)
        ]
    )
    values = decompose(predictions.unsqueeze(0), test.labels.double())
    return KernelResult(
        test_mse=float(values["test_mse"]),
        m_S=float(values["m_S"]),
        noise=float(values["noise"]),
        train_mse=train_mse,
        predictions=predictions,
    )


def as_published_points(data: Dataset, fresh: Dataset, *, total: int = 50_000) -> Dataset:
    """The overlapping evaluation set: the training points, then fresh ones up to ``total``."""
    rest = max(total - len(data), 0)
    return Dataset(
        torch.cat([data.inputs, fresh.inputs[:rest]]), torch.cat([data.labels, fresh.labels[:rest]])
    )
