r"""The posterior of a network on any data set: arrays in, draws of its predictions out.

With inputs x_μ and labels y_μ, μ = 1..P, and the prior of the network (Gaussian, or one's own)::

    p(θ | data) ∝ p(θ) exp{ -(1/(2κ²P)) Σ_μ (f(x_μ; θ) - y_μ)² }

so that a label has Gaussian noise of variance κ²P: for noise of standard deviation s, κ = s/√P.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from feature_learning.choices import LARGEST_SEED
from feature_learning.energies.own_prior import LogPrior, OwnPriorEnergy
from feature_learning.energies.particles import ParticleEnergy, network_posterior
from feature_learning.errors import (
    LARGEST,
    ArgumentError,
    check_choice,
    check_integer,
    check_real,
    check_scale,
    shortened,
)
from feature_learning.experiments.defaults import library_defaults
from feature_learning.experiments.hardware import check_device
from feature_learning.experiments.machine import Machine
from feature_learning.inference.chain_run import ChainRun
from feature_learning.inference.diagnostics import ConvergenceRule, standard_error
from feature_learning.inference.predictions import Predictions
from feature_learning.inference.sampling import sample
from feature_learning.inference.stopping import StopWhenConverged
from feature_learning.model.student import Network, Student
from feature_learning.model.teachers import Dataset
from feature_learning.samplers.friction import automatic_friction, softest_frequency
from feature_learning.samplers.options import SamplingOptions
from feature_learning.samplers.registry import (
    SAMPLERS,
    GibbsOptions,
    InertialOptions,
    SamplerOptions,
    UnderdampedOptions,
)

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Posterior:
    """Draws from the posterior of a network; all f are in the units of the labels.

    Attributes
    ----------
    student : Student
        The network, with the input dimension of the data: ``student.forward`` evaluates it.
    predictions : array (chains, draws, points)
        f at the test inputs, past burn-in.
    draw_weights : array (chains, draws)
        Weight of each draw in averages; 1 unless the sampler or its steps weigh them.
    weights : array (chains, neurons, fan_in)
        Hidden weights of the last draw of each chain; with a hidden bias it is the last column.
    readouts : array (chains, neurons)
        Its readouts a.
    output_bias : array (chains, 0 or 1)
        Its output bias c, if there is one.
    r_hat, ess : float
        Largest R-hat and smallest effective sample size, of the training MSE and of f at up to 16
        of the test inputs; NaN where they cannot be computed.
    verdict : str
        ``agreed`` if R-hat is below 1.01 and the effective sample size at least 100 over four
        chains or more of 40 draws or more each, and the kinetic temperature within 2 % of T; else
        ``not settled``.
    reasons : tuple of str
        Why it is not settled; empty if the chains agree.
    acceptance : array (chains,) or None
        Mean acceptance probability; None without a Metropolis test.
    run : ChainRun
        All else: series, times, step size, kinetic temperature.
    """

    student: Student
    predictions: FloatArray = field(repr=False)
    draw_weights: FloatArray = field(repr=False)
    weights: FloatArray = field(repr=False)
    readouts: FloatArray = field(repr=False)
    output_bias: FloatArray = field(repr=False)
    r_hat: float
    ess: float
    verdict: str
    reasons: tuple[str, ...]
    acceptance: FloatArray | None
    run: ChainRun = field(repr=False)

    @property
    def converged(self) -> bool:
        """Whether there is no reason against it."""
        return not self.reasons

    def mean(self) -> FloatArray:
        """Posterior mean of f at each test input, (points,); NaN without a draw."""
        return self._average(self.predictions)

    def std(self) -> FloatArray:
        """Posterior standard deviation of f at each test input, (points,).

        That of a new label there is √(std² + κ²P).
        """
        return np.asarray(np.sqrt(self._average((self.predictions - self.mean()) ** 2)))

    def standard_error(self) -> FloatArray:
        """Monte-Carlo standard error of :meth:`mean`, (points,); it ignores ``draw_weights``."""
        return np.array([standard_error(draws) for draws in np.moveaxis(self.predictions, 2, 0)])

    def _average(self, values: FloatArray) -> FloatArray:
        if not self.draw_weights.size:
            return np.full(values.shape[2], math.nan)
        return np.asarray(np.average(values, axis=(0, 1), weights=self.draw_weights))


@library_defaults()
def posterior(
    X: ArrayLike,
    y: ArrayLike,
    network: Network,
    *,
    kappa: float,
    test_inputs: ArrayLike | None = None,
    log_prior: LogPrior | None = None,
    chains: int = 4,
    sampler: SamplerOptions | str = "underdamped",
    langevin_time: float | None = None,
    draws: int = 100,
    seed: int = 0,
    max_time: float | None = None,
    dtype: str = "float32",
    device: str = "cpu",
    progress: bool = False,
) -> Posterior:
    """Sample the posterior of a two-layer network on a data set.

    Parameters
    ----------
    X : array (samples, dim)
        Training inputs; of the order of 1 in each coordinate, for which the prior is made.
    y : array (samples,)
        Labels.
    network : Network or Student
        Architecture and prior; a ``Student`` must have the dimension of the inputs.
    kappa : float
        Noise scale κ: T = 2κ², and a label has noise of variance κ²P.
    test_inputs : array (points, dim), optional
        Where f is predicted; the training inputs if not given.
    log_prior : callable, optional
        In place of the Gaussian prior, see :mod:`feature_learning.energies.own_prior`.
    chains : int
        Independent chains, all started from the Gaussian prior; four or more to be judged.
    sampler : SamplerOptions or str
        A sampler of :data:`feature_learning.samplers.registry.SAMPLERS`, or its name.
    langevin_time : float, optional
        Length of the run, Σ of the step sizes, of which the first half is burn-in. Without it,
        ``underdamped`` without a step of its own runs until the chains agree, at most for 256/ω₀
        (ω₀ = √T/s of the widest prior); the other samplers have lengths of their own.
    draws : int
        Draws of each chain past burn-in, at least 8.
    seed : int
        Of starts and noise.
    max_time : float, optional
        Seconds of wall time after which the run ends as it is.
    dtype, device : str
        ``float32`` or ``float64``; ``cpu``, ``cuda`` or ``cuda:N``.
    progress : bool
        Progress with the time left, on standard error.

    Returns
    -------
    Posterior
        After Ctrl-C too, with what there is.

    Raises
    ------
    ArgumentError
        For shapes that do not fit, numbers that are not finite or out of range, and samplers that
        cannot sample this posterior; it names the argument, its value and what is allowed.
    DivergenceError, EquipartitionError
        If the step is too large; with one that would work.
    DeviceError
        For a device that this machine does not have.
    """
    inputs, labels = _array("X", X, 2), _array("y", y, 1)
    if len(labels) != len(inputs):
        raise ArgumentError(f"y must have {len(inputs)} entries, those of X, not {len(labels)}")
    points = inputs if test_inputs is None else _array("test_inputs", test_inputs, 2)
    if points.shape[1] != inputs.shape[1]:
        raise ArgumentError(
            f"test_inputs must be (points, dim = {inputs.shape[1]}), not {points.shape}"
        )
    student = _student(network, inputs.shape[1])
    check_scale("kappa", kappa)
    check_integer("chains", chains, at_least=1)
    check_integer("draws", draws, at_least=8)
    check_integer("seed", seed, at_least=0, at_most=LARGEST_SEED)
    if langevin_time is not None:
        check_real("langevin_time", langevin_time, above=0)
    if max_time is not None:
        check_real("max_time", max_time, above=0)
    check_device(Machine(dtype=dtype, device=str(device)).device)

    def tensor(values: FloatArray) -> Tensor:
        return torch.from_numpy(values).to(device, getattr(torch, dtype)).contiguous()

    data, where = Dataset(tensor(inputs), tensor(labels)), tensor(points)
    energy: ParticleEnergy
    if log_prior is None:
        energy = network_posterior(student, data, kappa=kappa, chains=chains)
    else:
        energy = OwnPriorEnergy(student, data, kappa=kappa, chains=chains, log_prior=log_prior)
    observer = Predictions(energy, where)
    rule = ConvergenceRule(observables=("train_mse", *observer.watched))
    sampling = _sampling(student, kappa, sampler, langevin_time, draws)
    settled = StopWhenConverged(rule, every=2 * (sampling.measurements // 4))
    run, _ = sample(
        energy,
        student,
        sampling=sampling,
        observer=observer,
        rule=rule,
        stop=settled if sampling.until_settled else None,
        seed=seed,
        max_time=max_time,
        progress=progress,
        label="posterior",
    )
    return _result(run, energy, observer)


def _result(run: ChainRun, energy: ParticleEnergy, observer: Predictions) -> Posterior:
    shape = energy.chains, int(run.counted.sum())
    judged = run.convergence
    acceptance = run.last("acceptance") if "acceptance" in run.series else None
    weights = run.series["weight"][:, run.counted] if "weight" in run.series else np.ones(shape)
    last = energy.views(run.state.position)
    w, a, c = (each.double().cpu().numpy().copy() for each in last)
    return Posterior(
        student=energy.student,
        predictions=observer.drawn(run.counted),
        draw_weights=weights,
        weights=w,
        readouts=a,
        output_bias=c,
        # NumPy's extremes are NaN if one of the numbers is.
        r_hat=float(np.max([*judged.r_hat.values()] or [math.nan])),
        ess=float(np.min([*judged.ess.values()] or [math.nan])),
        verdict=run.verdict.word,
        reasons=judged.reasons,
        acceptance=acceptance,
        run=run,
    )


def _array(name: str, value: ArrayLike | Tensor, axes: int) -> FloatArray:
    """A finite array of as many axes, in double precision."""
    shape = "(samples, dim)" if axes == 2 else "(samples,)"
    try:
        if isinstance(value, Tensor):
            value = value.detach().cpu().numpy()
        if np.iscomplexobj(value):
            raise TypeError("complex numbers")
        found = np.array(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ArgumentError(
            f"{name} must be real numbers of shape {shape}, not {shortened(value)}"
        ) from error
    if found.ndim != axes or not found.size:
        raise ArgumentError(
            f"{name} must be {shape}, with one number at least, not of shape {found.shape}"
        )
    wrong = ~(np.abs(found) <= LARGEST)
    if wrong.any():
        at = ", ".join(str(each) for each in np.argwhere(wrong)[0])
        raise ArgumentError(
            f"{name} must hold finite numbers of at most {LARGEST:g} in size, "
            f"not {found[wrong][0]!s} at [{at}] ({int(wrong.sum())} of {found.size} are wrong)"
        )
    return found


def _student(network: object, dim: int) -> Student:
    """The network for inputs of that dimension."""
    if not isinstance(network, Network):
        raise ArgumentError(f"network must be a Network or Student, not {shortened(network)}")
    if not isinstance(network, Student):
        return Student(**vars(network), dim=dim)
    if network.dim != dim:
        raise ArgumentError(f"network must have dim = {dim}, the columns of X, not {network.dim}")
    return network


def _sampling(
    student: Student,
    kappa: float,
    sampler: SamplerOptions | str,
    langevin_time: float | None,
    draws: int,
) -> SamplingOptions:
    """Twice as many measurements as draws; without a length, until the chains agree."""
    if isinstance(sampler, str):
        sampler = SAMPLERS[check_choice("sampler", sampler, SAMPLERS)]()
        if isinstance(sampler, InertialOptions):
            sampler = replace(sampler, friction="auto")
    if not isinstance(sampler, SamplerOptions):
        raise ArgumentError(f"sampler must be options or a name, not {shortened(sampler)}")
    if len(sampler.kappas(kappa)) > 1:
        raise ArgumentError("replicas must be 1: this posterior has one kappa")
    if isinstance(sampler, InertialOptions) and sampler.friction == "auto":
        moving = not isinstance(sampler, GibbsOptions)
        friction = automatic_friction(student, kappa=kappa, readout=moving)
        sampler = replace(sampler, friction=friction)
    settled = (
        isinstance(sampler, UnderdampedOptions) and sampler.step is None and langevin_time is None
    )
    if settled:
        langevin_time = 256 / softest_frequency(student, kappa=kappa)
    return SamplingOptions(sampler, langevin_time, measurements=2 * draws, until_settled=settled)
