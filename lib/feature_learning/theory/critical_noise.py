r"""Critical noise of plain MF at infinitely many samples.

Plain MF has one solution m(κ), which decreases continuously with κ. Its critical noise is that of
the condensation law ``1 - m ≈ κ/κ_c``, evaluated where half of the target is learned:
``κ_c = 2 κ(½)``. At given m, the equation of :mod:`feature_learning.theory.population` determines κ
uniquely, because its right side decreases with κ. The averages are those of
:mod:`feature_learning.theory.one_neuron` at the ratio 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy.optimize import brentq

from feature_learning.errors import ConvergenceError, check_real
from feature_learning.model.student import Student
from feature_learning.theory.one_neuron import OneNeuron, readout_noise, sufficient
from feature_learning.theory.population import check_student


@dataclass(frozen=True)
class NoiseOfOverlap:
    """The noise at which a given overlap is the solution of plain MF.

    Attributes
    ----------
    kappa : float
    m_S : float
        The given overlap.
    critical : float
        ``κ/(1-m)``, the κ_c of the condensation law; exact only as far as that law is.
    ess : float
        Effective sample size divided by the number of draws.
    iterations : int
        Number of fits of the draws to the solution; the last changed κ by less than 1e-4
        (relative).
    """

    kappa: float
    m_S: float
    critical: float
    ess: float
    iterations: int


def noise_of_overlap(
    student: Student, *, sparsity: int, m_S: float = 0.5, draws: int = 4096, seed: int = 0
) -> NoiseOfOverlap:
    """The noise κ at which m_S is the solution of plain MF; there is exactly one.

    Parameters
    ----------
    student : Student
        ReLU, without biases.
    sparsity : int
        ``|S|``, 1 or even.
    m_S : float
        Between 0 and 1.
    draws, seed : int
        As in :class:`~feature_learning.theory.one_neuron.OneNeuron`.

    Raises
    ------
    ArgumentError
        If an argument is out of range.
    ConvergenceError
        If the effective sample size is too small, or the fits of the draws do not converge.
    """
    check_student(student)
    m = check_real("m_S", m_S, at_least=1e-6, at_most=1 - 1e-6)
    neuron = OneNeuron(student.dim, sparsity, draws=draws, seed=seed)
    unit = student.dim / student.weight_variance  # the precision of the prior
    kappa = 0.0
    for _ in range(3):
        kappa = (1 - m) / math.sqrt(2 * neuron.start(readout_noise(student, kappa, unit)))

    def excess(log_kappa: float) -> float:
        k = math.exp(log_kappa)
        reward = neuron.averages((1 - m) ** 2 / (2 * k * k), readout_noise(student, k, unit)).reward
        return student.width * reward * (1 - m) / m - 1

    for iteration in range(1, 20):
        before, centre = kappa, math.log(kappa)
        if excess(centre - 3) < 0:
            # Nearly all neurons must be aligned, more closely than the present draws.
            kappa /= math.sqrt(2)
            neuron.fit((1 - m) ** 2 / (2 * kappa * kappa), readout_noise(student, kappa, unit))
            continue
        try:
            kappa = math.exp(brentq(excess, centre - 3, centre + 7, xtol=1e-9))
        except ValueError as error:
            raise ConvergenceError(
                f"at no noise up to {before * 1100:.3g} is m_S as small as {m:g}"
            ) from error
        lam, nu = (1 - m) ** 2 / (2 * kappa * kappa), readout_noise(student, kappa, unit)
        if abs(kappa / before - 1) < 1e-4 and iteration > 1:
            break
        neuron.fit(lam, nu)
    else:
        raise ConvergenceError(
            f"after 19 fits of the draws κ still changes, from {before} to {kappa}"
        )
    ess = sufficient(neuron.averages(lam, nu).ess, draws)
    return NoiseOfOverlap(kappa, m, kappa / (1 - m), ess, iteration)
