r"""Mean-field theory (MF) and MF-ARD: one neuron in the average field of all neurons.

The distribution of a neuron (w, a), and the field that such neurons generate::

    p(w,a) ∝ exp{ -a²/(2σ_a²) - d|w|²/(2σ_w²) - (1/(2κ²P)) Σ_μ (r_μ - N^(-γ) a φ(w·x_μ))² }
    f̄(x) = N^(1-γ) ⟨a φ(w·x)⟩_p,   r = y - f̄

Two solvers of the same fixed point, which agree as the number of particles M grows:

* ``particles`` (solver 1): M particles (w_b, a_b) as one Gibbs measure with the self-energy Ω,
  :func:`feature_learning.energies.particles.mean_field_energy`. The paper used M = N.
* ``collapsed`` (solver 2): readouts integrated out, the field from a linear solve,
  :class:`feature_learning.energies.collapsed.CollapsedEnergy`.

The samplers of this package sample both; "iterations" are Langevin steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from feature_learning import choices
from feature_learning.energies.collapsed import CollapsedEnergy
from feature_learning.energies.particles import ParticleEnergy, mean_field_energy
from feature_learning.errors import ConvergenceError, check_choice
from feature_learning.inference.chain_run import ChainRun
from feature_learning.inference.sampling import sample
from feature_learning.inference.stopping import StopRule
from feature_learning.inference.stopwatch import Stopwatch
from feature_learning.model.priors import Ard
from feature_learning.model.student import Student
from feature_learning.model.teachers import Dataset, Teacher
from feature_learning.samplers.base import Sampler
from feature_learning.samplers.options import SamplingOptions


@dataclass(frozen=True)
class MeanFieldResult:
    """A mean-field solution.

    Attributes
    ----------
    m_S : float
        m_S of the field f̄ averaged over the measurements past burn-in, averaged over chains.
    test_mse : float
        Test MSE of the same field (not half of it), averaged over chains.
    noise : float
        Noise of the same field, averaged over chains.
    residual : float
        Drift of the field: ``|m_S of the first half - m_S of the second half|`` of the
        measurements past burn-in, averaged over chains. Zero at the fixed point up to Monte-Carlo
        error.
    residual_sem : float
        Monte-Carlo error of ``residual`` over chains (NaN for one chain).
    iterations : int
        Langevin steps.
    converged : bool
        As in :class:`~feature_learning.inference.chain_run.ChainRun`: by R-hat, effective sample
        size, kinetic temperature, and no interruption.
    run : ChainRun
    sampler : Sampler
    energy : ParticleEnergy or CollapsedEnergy
        The energy that was sampled, with its final ρ or field.
    """

    m_S: float
    test_mse: float
    noise: float
    residual: float
    residual_sem: float
    iterations: int
    converged: bool
    run: ChainRun
    sampler: Sampler
    energy: ParticleEnergy | CollapsedEnergy


def build_energy(
    student: Student,
    data: Dataset,
    *,
    kappa: float,
    chains: int = 1,
    solver: str = "particles",
    particles: int | None = None,
    ard: Ard | None = None,
    tile_elements: int | None = None,
) -> ParticleEnergy | CollapsedEnergy:
    """Build the energy of either solver; arguments as in :func:`solve`."""
    if check_choice("solver", solver, choices.SOLVERS) == "collapsed":
        return CollapsedEnergy(
            student,
            data,
            kappa=kappa,
            chains=chains,
            particles=particles,
            ard=ard,
            tile_elements=tile_elements,
        )
    return mean_field_energy(
        student,
        data,
        kappa=kappa,
        chains=chains,
        particles=particles,
        ard=ard,
        tile_elements=tile_elements,
    )


def solve(
    student: Student,
    teacher: Teacher,
    data: Dataset,
    test: Dataset,
    *,
    kappa: float,
    solver: str = "particles",
    particles: int | None = None,
    ard: Ard | None = None,
    chains: int = 1,
    sampling: SamplingOptions | None = None,
    seed: int = 0,
    stop: StopRule | None = None,
    max_time: float | None = None,
    insist: bool = False,
    checkpoint: Path | str | None = None,
    fingerprint: dict[str, Any] | None = None,
    progress: bool = False,
    label: str = "",
    stopwatch: Stopwatch | None = None,
    tile_elements: int | None = None,
) -> MeanFieldResult:
    """Solve MF (``ard=None``) or MF-ARD.

    Parameters
    ----------
    student, teacher, data, test
        Model, target, training set and held-out points.
    kappa : float
        Noise scale, T = 2κ².
    solver : str
        ``particles`` or ``collapsed``.
    particles : int or None
        M; None means the width N.
    ard : Ard or None
        Adapt the prior precision of each input coordinate.
    chains : int
        Independent copies, for error bars and R-hat.
    sampling : SamplingOptions, optional
        Step, budget, burn-in; the defaults suit the paper's parity setting.
    seed : int
        Seed of the starting points and the noise.
    stop : StopRule, optional
        Ends the run early.
    max_time : float, optional
        Limit on the wall time in seconds.
    insist : bool
        Raise an error if the result is not converged.
    checkpoint, fingerprint, progress, label, stopwatch, tile_elements
        As in :func:`feature_learning.inference.sampling.sample`.

    Raises
    ------
    ArgumentError
        If an argument is out of range.
    ConvergenceError
        With ``insist``, if the result is not converged; the message gives the reasons.
    """
    energy = build_energy(
        student,
        data,
        kappa=kappa,
        chains=chains,
        solver=solver,
        particles=particles,
        ard=ard,
        tile_elements=tile_elements,
    )
    run, sampler = sample(
        energy,
        student,
        teacher,
        test,
        sampling or SamplingOptions(),
        seed=seed,
        stop=stop,
        max_time=max_time,
        readout=solver == "particles",
        checkpoint=checkpoint,
        fingerprint=fingerprint,
        progress=progress,
        label=label,
        stopwatch=stopwatch,
        tile_elements=tile_elements,
    )
    if insist and not run.convergence.converged:
        raise ConvergenceError(
            f"the mean field did not converge in {run.steps.max(initial=0)} steps: "
            f"{'; '.join(run.convergence.reasons)}"
        )
    draws = run.draws("m_S")[:, run.counted]
    half = draws.shape[1] // 2
    drift = np.full(chains, np.nan)
    if half:
        drift = np.abs(draws[:, :half].mean(axis=1) - draws[:, half:].mean(axis=1))
    return MeanFieldResult(
        m_S=float(run.posterior_mean["m_S"].mean()),
        test_mse=float(run.posterior_mean["test_mse"].mean()),
        noise=float(run.posterior_mean["noise"].mean()),
        residual=float(drift.mean()),
        residual_sem=float(drift.std(ddof=1) / np.sqrt(chains)) if chains > 1 else np.nan,
        iterations=int(run.steps.max(initial=0)),
        converged=run.convergence.converged,
        run=run,
        sampler=sampler,
        energy=energy,
    )
