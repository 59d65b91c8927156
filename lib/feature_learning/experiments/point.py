"""One point of a figure: a configuration in, one row of numbers out.

Notebooks, the command line and sweeps all call :func:`run_point`, which alone defines a "point".
Chains of one point share the data set and differ in start and noise. The seed determines the data,
the test points, the starts and the noise.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from feature_learning import __version__
from feature_learning.energies.base import Energy
from feature_learning.energies.ladder import LadderEnergy
from feature_learning.energies.release import ReleasedEnergy
from feature_learning.errors import ArgumentError, check_real
from feature_learning.experiments import evidence as evidence_point
from feature_learning.experiments.config import PointConfig
from feature_learning.experiments.defaults import library_defaults
from feature_learning.experiments.flat import flat
from feature_learning.experiments.hardware import check_device, check_memory
from feature_learning.experiments.keys import canonical
from feature_learning.experiments.methods import KernelLimit, MeanFieldARD, NetworkPosterior
from feature_learning.experiments.paper import PROTOCOLS
from feature_learning.experiments.row import MEASURED, Point
from feature_learning.experiments.runs import AsPublished, Chains, Populations
from feature_learning.files.documents import finite
from feature_learning.inference import mean_field
from feature_learning.inference.chain_run import ChainRun
from feature_learning.inference.diagnostics import Convergence, ConvergenceRule
from feature_learning.inference.sampling import sample
from feature_learning.inference.stopping import StopRule, StopWhenConverged
from feature_learning.inference.stopwatch import Stopwatch
from feature_learning.inference.verdict import AGREED, NOT_SETTLED, WITHIN, Verdict
from feature_learning.model.codes import codes_of, summary
from feature_learning.model.priors import Ard
from feature_learning.model.teachers import Dataset, name_of
from feature_learning.samplers.base import Sampler
from feature_learning.theory import kernel_limit

#: Arguments of every run that may take long.
_OF_RUNS = ("checkpoint", "fingerprint", "progress", "label", "stopwatch")


@library_defaults()
def run_point(
    config: PointConfig,
    *,
    progress: bool = False,
    checkpoint: Path | str | None = None,
    max_time: float | None = None,
) -> Point:
    """Compute one point.

    Parameters
    ----------
    config : PointConfig
    progress : bool
        Print progress and the time left on standard error.
    checkpoint : Path or str, optional
        Resume from, and save to, this file.
    max_time : float, optional
        Wall time in seconds, including earlier calls, after which the chains stop where they are.

    Returns
    -------
    Point
        ``row`` holds, for every name in :data:`~feature_learning.experiments.row.MEASURED`, the
        mean over chains and its standard error ``NAME_sem`` (None for one chain). Every error is
        MSE. The other entries:

        - ``steps``, ``langevin_time``, ``config``, ``version``, ``r_hat`` and ``ess``;
        - ``seconds``: wall time of all calls together, if the run was resumed;
        - ``predictor``: the predictor whose error is ``test_mse``;
        - ``agreement``: the verdict of :mod:`feature_learning.inference.verdict`; the numbers are
          averages over the ``agreeing_chains`` chains to which it applies;
        - ``converged``: that of :class:`~feature_learning.inference.chain_run.ChainRun`, always
          False for a snapshot of the published protocol;
        - ``not_converged_because``: the list of reasons, empty if ``converged`` is True;
        - ``specialised``: the number of neurons that know the target;
        - ``codes``: the codes of the networks at the final measurement
          (:mod:`feature_learning.model.codes`; None unless networks are sampled);
        - ``swap_rate``: the lowest fraction of accepted swaps between two neighbouring replicas,
          over the whole run with burn-in (None if no swap was tried);
        - ``interrupted``: True after Ctrl-C. The numbers are then those of the measurements so far
          (None without any); a loop over points has to check for it.

    Raises
    ------
    FeatureLearningError
        See :mod:`feature_learning.errors`.
    """
    check_device(config.machine.device)
    check_memory(config)
    if max_time is not None:
        check_real("max_time", max_time, above=0)
        if not isinstance(config.run, Chains):
            raise ArgumentError(
                "max_time has no effect with an evidence, protocol published or method nngp"
            )
    stopwatch = Stopwatch()
    point = (
        _nngp(config, config.method.nngp_variant)
        if isinstance(config.method, KernelLimit)
        else _chains(config, progress, checkpoint, stopwatch, max_time)
    )
    point.row["seconds"] = stopwatch.seconds
    point.row["config"] = flat(config)
    point.row["version"] = __version__
    return point


def _nngp(config: PointConfig, variant: str) -> Point:
    """Kernel ridge regression at infinite width: a deterministic predictor."""
    if variant == "as-published":
        data = replace(config, n_test=50_000)
        train, fresh = data.datasets()
        test = kernel_limit.as_published_points(train, fresh)
    else:
        train, test = config.datasets()
    result = kernel_limit.solve(config.student, train, test, kappa=config.kappa, variant=variant)
    values = {
        "test_mse": result.test_mse,
        "test_mse_posterior_mean": result.test_mse,
        "train_mse": result.train_mse,
        "m_S": result.m_S,
        "noise": result.noise,
    }
    return Point(
        {
            **values,
            **{f"{name}_sem": None for name in values},
            "predictor": "posterior mean",
            "steps": 0,
            "langevin_time": 0.0,
            "converged": True,
            "not_converged_because": [],
            "interrupted": False,
            "r_hat": None,
            "ess": None,
        }
    )


def _chains(
    config: PointConfig,
    progress: bool,
    checkpoint: Path | str | None,
    stopwatch: Stopwatch,
    max_time: float | None,
) -> Point:
    """Network, MF or MF-ARD: sample, then summarise."""
    student, teacher, sampling = config.student, config.teacher, config.sampling
    method, how = config.method, config.run
    assert how is not None
    assert not isinstance(method, KernelLimit)
    data, test = config.datasets()
    common: dict[str, Any] = {
        "seed": config.seed,
        "checkpoint": checkpoint,
        "fingerprint": {**canonical(config), "version": __version__},
        "progress": progress,
        "stopwatch": stopwatch,
        "label": f"{method.name} P={config.n_train} κ={config.kappa:g}",
        "tile_elements": config.machine.tile_elements,
    }
    if isinstance(how, Populations):
        row, *networks = evidence_point.compute(
            config, how, **{name: common[name] for name in _OF_RUNS}
        )
        return Point(row, *networks)
    rule = ConvergenceRule(replicas=len(config.kappas), planted=how.start == "planted")
    common["max_time"] = max_time
    stop: StopRule | None = None
    if isinstance(how, Chains) and how.stop_when_converged:
        stop = StopWhenConverged(rule)
    if isinstance(how, Chains) and how.until_settled:
        stop = StopWhenConverged(rule, every=2 * (how.measurements // 4))
    if isinstance(method, NetworkPosterior):
        energy = _network(config, method, how.start, data)
        schedule = None
        if isinstance(how, AsPublished):
            protocol = PROTOCOLS[name_of(teacher)]
            stop, schedule = (
                protocol.rule(config.n_train, config.kappa),
                lambda sampler: protocol.schedule(sampler.step_size),
            )
        run, sampler = sample(
            energy,
            student,
            teacher,
            test,
            sampling,
            rule=rule,
            signs=torch.tensor(config.signs) if config.signs else None,
            schedule=schedule,
            stop=stop,
            **common,
        )
    else:
        solution = mean_field.solve(
            student,
            teacher,
            data,
            test,
            kappa=config.kappa,
            solver=method.solver,
            particles=method.particles,
            ard=Ard(method.alpha0) if isinstance(method, MeanFieldARD) else None,
            chains=config.chains,
            sampling=sampling,
            stop=stop,
            **common,
        )
        run, sampler = solution.run, solution.sampler
    swaps = _swap_rate(config, run)
    run = run.first_replicas(len(config.kappas))
    arrays = (each.double().cpu().numpy() for each in (run.weights, run.readouts))
    return Point(_summary(config, run, sampler) | {"swap_rate": swaps}, *arrays)


def _network(config: PointConfig, method: NetworkPosterior, start: str, data: Dataset) -> Energy:
    """The posterior of a network, or of ladders of replicas."""
    student, bound = config.student, config.machine.tile_elements
    if len(config.kappas) > 1:
        return LadderEnergy(
            student, data, kappas=config.kappas, copies=config.chains, tile_elements=bound
        )
    common: dict[str, Any] = {
        "kappa": config.kappa,
        "chains": config.chains,
        "tile_elements": bound,
    }
    if start == "released":
        relevant = config.teacher.sparsity
        return ReleasedEnergy(
            student,
            data,
            relevant=relevant,
            homogeneity_penalty=method.homogeneity_penalty,
            **common,
        )
    return method.energy(student, data, **common)


def _summary(config: PointConfig, run: ChainRun, sampler: Sampler) -> dict[str, Any]:
    """The row of a sampled point."""
    snapshot = isinstance(config.run, AsPublished)
    counted = run.verdict.chains
    names = ("test_mse", "train_mse", "m_S", "noise", "relevant_variance", "specialised")
    values = {name: run.last(name) if snapshot else run.mean(name) for name in names}
    values["test_mse_posterior_mean"] = (
        np.full(config.chains, math.nan) if snapshot else run.posterior_mean["test_mse"]
    )
    row: dict[str, Any] = {}
    for name in MEASURED:
        row[name] = finite(values[name][counted].mean())
        row[f"{name}_sem"] = _standard_error(values[name][counted])
    row |= {f"{name}_last": finite(run.last(name).mean()) for name in ("test_mse", "m_S")}
    for name in ("relevant_variance", "specialised"):
        row[name] = finite(values[name][counted].mean())
        row[f"{name}_sem"] = _standard_error(values[name][counted])
    row["codes"] = _codes(config, run)
    row["chains"] = {name: [finite(value) for value in values[name]] for name in MEASURED}
    judged = run.convergence.of_snapshot() if snapshot else run.convergence
    row |= {
        "predictor": "one sample",
        "steps": int(run.steps[run.final_measurement].max()) if len(run.steps) else 0,
        "langevin_time": finite(run.times[run.final_measurement].mean()) if len(run.times) else 0.0,
        "step": sampler.step_size,
        "kinetic_temperature": finite(run.kinetic_temperature),
        "curvature": run.curvature,
        "agreement": NOT_SETTLED if snapshot else run.verdict.word,
        "agreeing_chains": int(counted.sum()) if judged.converged else 0,
        "converged": judged.converged and run.verdict.word == AGREED,
        "not_converged_because": _reasons(run.verdict, judged),
        "interrupted": run.interrupted,
        "r_hat": finite(max(judged.r_hat.values(), default=math.nan)),
        "ess": finite(min(judged.ess.values(), default=math.nan)),
        "r_hat_by_observable": {name: finite(value) for name, value in judged.r_hat.items()},
        "ess_by_observable": {name: finite(value) for name, value in judged.ess.items()},
    }
    return row


def _reasons(verdict: Verdict, judged: Convergence) -> list[str]:
    """Why the run has not converged, or has converged only within a code."""
    if judged.converged and verdict.word == WITHIN:
        inside, all_of_them = int(verdict.chains.sum()), len(verdict.chains)
        seen = f"{inside} of {all_of_them} chains agree within one code"
        seen += ", the rest are in others" if inside < all_of_them else ", where they were planted"
        return [f"{seen}: compare the log evidence of codes (samplers population, integration)"]
    return list(judged.reasons)


def _codes(config: PointConfig, run: ChainRun) -> str | None:
    """Codes of the networks at their final measurement; None for particles or without any."""
    if not isinstance(config.method, NetworkPosterior) or not len(run.times):
        return None
    found = codes_of(
        run.weights.double().cpu().numpy(),
        dim=config.teacher.dim,
        sparsity=config.teacher.sparsity,
        weight_variance=config.network.weight_variance,
    )
    return summary(found)


def _swap_rate(config: PointConfig, run: ChainRun) -> float | None:
    """Lowest swap acceptance between neighbours over the whole run; None without swaps."""
    if not run.draws("swapped").shape[1]:
        return None  # no ladder, or interrupted before the first measurement
    rates = run.draws("swapped")[:, -1].reshape(config.chains, len(config.kappas))
    return finite(rates[:, :-1].min())


def _standard_error(values: NDArray[np.float64]) -> float | None:
    """Standard error of the mean over chains; None for one chain."""
    if len(values) < 2:
        return None
    return finite(values.std(ddof=1) / math.sqrt(len(values)))
