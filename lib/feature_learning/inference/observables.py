r"""Observables of a network, measured during a run without storing weights.

With y the target, E over test inputs and q = E[y²] over the same inputs::

    m_S      = E[f y] / q                        1 when the target is learned, 0 before
    noise    = E[(f - m_S y)²]                   the part of f orthogonal to the target
    test MSE = E[(f - y)²] = q (1 - m_S)² + noise
    v_j      = mean_i w_ij²,   anisotropy = mean_{j∈S} v_j / mean_{j∉S} v_j
    specialised = number of neurons that encode all of S (:mod:`feature_learning.model.codes`)
    code = number of the profile of these neurons

Every error is the mean squared error, not half of it. It belongs to ONE posterior sample unless its
name contains ``posterior_mean``: the predictor averaged over a chain has an error that is smaller
by the posterior variance of f.
"""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from feature_learning.energies.base import NetworkEnergy
from feature_learning.model.codes import codes_of, threshold
from feature_learning.model.forward import Forward
from feature_learning.model.parameters import Parameters
from feature_learning.model.student import Student
from feature_learning.model.teachers import Dataset

FloatArray = NDArray[np.float64]


def decompose(predictions: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """Test MSE, m_S and noise of predictions (chains, samples) against labels (samples,)."""
    # m_S uses the sample mean of y² for q, so that a perfect predictor has m_S = 1 exactly; the
    # identity test MSE = q (1 - m_S)² + noise then holds on the sample as well.
    power = labels.square().mean()
    overlap = (predictions @ labels) / len(labels) / power
    noise = (predictions - overlap.unsqueeze(1) * labels).square().mean(dim=1)
    return {
        "test_mse": (predictions - labels).square().mean(dim=1),
        "m_S": overlap,
        "noise": noise,
    }


def weight_variances(w: Tensor, dim: int) -> Tensor:
    """v_j = mean_i w_ij², the mean squared weight of each input coordinate, (..., dim).

    ``w`` has the shape (..., particles, ≥ dim); columns beyond ``dim`` are biases.
    """
    return w[..., :dim].square().mean(dim=-2)


def anisotropy(w: Tensor, dim: int, sparsity: int) -> Tensor:
    """mean_{j∈S} v_j / mean_{j∉S} v_j, (...,), of weights (..., particles, ≥ dim)."""
    variances = weight_variances(w, dim)
    irrelevant = variances[..., sparsity:].mean(dim=-1) if sparsity < dim else math.nan
    return variances[..., :sparsity].mean(dim=-1) / irrelevant


class Measuring(Protocol):
    """What the run loop asks of an observer; a run on another model brings its own."""

    def measure(self, theta: Tensor, *, average: bool | Tensor) -> dict[str, FloatArray]:
        """Observables of the present sample by name, each (chains,).

        ``train_mse``, if it is among them, ends a run that diverges. ``average`` is False in
        burn-in, and else True or the weight of each chain, (chains,).
        """

    def posterior_mean(self) -> dict[str, FloatArray]:
        """What the averaged predictor gives, each (chains,); may be empty."""

    def open_block(self) -> None:
        """Forget what was averaged but for the block of measurements that ends now."""

    def state_dict(self) -> dict[str, Tensor]:
        """Tensors that change, for a checkpoint, which is copied back into them."""


class Observer:
    """Measures an energy's predictor on held-out points and streams the posterior-mean predictor.

    Parameters
    ----------
    student : Student
    energy : NetworkEnergy
        Gives the predictor (``readout``, ``scale``) and the training field.
    test : Dataset
        Held-out points, disjoint from the training set.
    sparsity : int or None
        ``|S|``, for the anisotropy and the numbers of specialised neurons; None leaves these out.
    tile_elements : int or None
        Memory bound of the forward pass on the test set.
    codes : bool
        Whether codes are measured: only for networks, which have few neurons.
    """

    def __init__(
        self,
        student: Student,
        energy: NetworkEnergy,
        test: Dataset,
        *,
        sparsity: int | None,
        tile_elements: int | None = None,
        codes: bool = False,
    ) -> None:
        self.student, self.energy, self.test, self.sparsity = student, energy, test, sparsity
        self.codes = codes and sparsity is not None
        self.forward = Forward(
            student,
            test,
            chains=energy.chains,
            particles=energy.particles,
            scale=energy.scale,
            tile_elements=tile_elements,
        )
        self._predictions = test.inputs.new_empty(energy.chains, len(test))
        self._train = test.inputs.new_empty(energy.chains, len(energy.forward))
        # Sums of many float32 numbers: accumulate them in double precision.
        self.mean_predictions = torch.zeros_like(self._predictions, dtype=torch.float64)
        self.averaged = test.inputs.new_zeros(energy.chains, 1, dtype=torch.float64)
        # The same sums of the block of measurements before the present one.
        self._before = torch.zeros_like(self.mean_predictions), torch.zeros_like(self.averaged)

    def measure(self, theta: Tensor, *, average: bool | Tensor) -> dict[str, FloatArray]:
        """All observables of this sample, each (chains,).

        ``average`` adds the sample to the posterior mean: with weight 1 if True, or with the weight
        of each chain, (chains,).
        """
        parameters: Parameters = self.energy.predictor_parameters(theta)
        predictions = self.forward.predict(parameters, out=self._predictions)
        values = decompose(predictions, self.test.labels)
        train = self.energy.forward.predict(parameters, out=self._train)
        labels = self.energy.forward.labels
        values["train_mse"] = (train - labels).square().mean(dim=1)
        values["train_error"] = (train.sign() != labels.sign()).float().mean(dim=1)
        if self.sparsity is not None:
            values |= self._relevant(parameters.w, self.sparsity)
        if isinstance(average, Tensor):
            weight = average.to(self.averaged).unsqueeze(1)
            self.averaged += weight
            self.mean_predictions += weight * predictions
        elif average:
            self.averaged += 1
            self.mean_predictions += predictions
        found = {name: value.double().cpu().numpy() for name, value in values.items()}
        if self.codes:
            found["code"] = self._codes(parameters.w)
        return found

    def _relevant(self, w: Tensor, sparsity: int) -> dict[str, Tensor]:
        """What the weights on the relevant coordinates say, each (chains,)."""
        student = self.student
        # The smallest relevant weight of a specialised neuron is larger.
        limit = threshold(self.energy.particles, sparsity) * math.sqrt(
            student.weight_variance / student.dim
        )
        return {
            "anisotropy": anisotropy(w, student.dim, sparsity),
            "specialised": (w[..., :sparsity].abs().amin(dim=-1) > limit).sum(dim=-1),
            "relevant_variance": weight_variances(w, sparsity).mean(dim=-1),
        }

    def _codes(self, w: Tensor) -> FloatArray:
        """The number of each network's profile, (chains,)."""
        student, sparsity = self.student, self.sparsity
        assert sparsity is not None  # without it there are no codes
        found = codes_of(
            w.double().cpu().numpy(),
            dim=student.dim,
            sparsity=sparsity,
            weight_variance=student.weight_variance,
        )
        return np.array([each.number for each in found], np.float64)

    def posterior_mean(self) -> dict[str, FloatArray]:
        """Test MSE, m_S and noise of the posterior-mean predictor of each chain, (chains,)."""
        # Without a sample past burn-in, 0/0 gives NaN, as it should.
        mean = (self.mean_predictions + self._before[0]) / (self.averaged + self._before[1])
        values = decompose(mean, self.test.labels.double())
        return {name: value.cpu().numpy() for name, value in values.items()}

    def open_block(self) -> None:
        """Restrict the averages to the block that ends now."""
        for before, present in zip(
            self._before, (self.mean_predictions, self.averaged), strict=True
        ):
            before.copy_(present)
            present.zero_()

    def state_dict(self) -> dict[str, Tensor]:
        """The running sums, for a checkpoint."""
        return {
            "mean_predictions": self.mean_predictions,
            "averaged": self.averaged,
            "mean_predictions_before": self._before[0],
            "averaged_before": self._before[1],
        }
