"""One point of a figure: a configuration in, one row of numbers out.

Notebooks, the command line and sweeps all call :func:`run_point`; nothing else decides what a
"point" is. Chains of one point share the data set and differ in start and noise; the data, the test
points, the starts and the noise all come from the seed.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from feature_learning import kernel_limit, mean_field
from feature_learning.chains import ChainRun, StopRule, StopWhenConverged
from feature_learning.energies import Ard, Energy, network_posterior
from feature_learning.errors import ArgumentError, check_choice, check_integer, check_scale
from feature_learning.hardware import check_device, check_memory
from feature_learning.inference import Sampling, sample
from feature_learning.network import Student
from feature_learning.published import PROTOCOLS
from feature_learning.samplers import Sampler
from feature_learning.teachers import Dataset, SingleIndex, SparseParity, Teacher, draw
from feature_learning.version import __version__, source_fingerprint

FloatArray = NDArray[np.float64]
METHODS = ("network", "mf", "mf-ard", "nngp")
TEACHERS = ("parity", "single-index")
#: Keys of a row that are numbers per chain, reported with a standard error over chains.
MEASURED = ("test_mse", "test_mse_posterior_mean", "train_mse", "m_S", "noise")


@dataclass(frozen=True)
class PointConfig:
    """Everything that defines a point. Defaults are the paper's parity setting.

    ``langevin_time``, ``step`` and ``friction`` of None mean the defaults of sampler and method
    (:attr:`make_sampling`); ``particles`` of None means the width. ``protocol="published"`` runs
    plain SGLD on the published clock and stopping rule and reports the last sample ("as run").
    ``nngp_variant`` is ``matched`` or ``as-published``.
    """

    teacher: str = "parity"
    dim: int = 35
    sparsity: int = 4
    degree: int = 4
    width: int = 512
    gamma: float = 0.5
    activation: str = "relu"
    weight_variance: float = 1.0
    readout_variance: float = 1.0
    hidden_bias_variance: float | None = None
    output_bias_variance: float | None = None
    samples: int = 1000
    kappa: float = 0.005
    method: str = "network"
    sampler: str = "underdamped"
    protocol: str | None = None
    chains: int = 4
    seed: int = 0
    langevin_time: float | None = None
    step: float | None = None
    friction: float | None = None
    burn_in: float = 0.5
    looks: int = 200
    start: str = "prior"
    stop_when_converged: bool = False
    solver: str = "particles"
    particles: int | None = None
    alpha0: float = 4.0
    nngp_variant: str = "matched"
    test_samples: int = 20_000
    dtype: str = "float32"
    device: str = "cpu"
    block_elements: int = 2**20

    def __post_init__(self) -> None:
        check_choice("teacher", self.teacher, TEACHERS)
        check_choice("method", self.method, METHODS)
        check_choice("dtype", self.dtype, ("float32", "float64"))
        check_choice("solver", self.solver, mean_field.SOLVERS)
        check_integer("samples", self.samples, at_least=1)
        check_integer("test_samples", self.test_samples, at_least=2)
        check_integer("chains", self.chains, at_least=1)
        check_integer("seed", self.seed, at_least=0)
        check_integer("block_elements", self.block_elements, at_least=1)
        check_choice("nngp_variant", self.nngp_variant, kernel_limit.VARIANTS)
        check_scale("kappa", self.kappa)
        check_scale("alpha0", self.alpha0)
        if self.protocol is not None:
            check_choice("protocol", self.protocol, ("published",))
            if self.method != "network" or self.langevin_time is not None:
                raise ArgumentError(
                    "protocol published needs method network and no langevin_time, "
                    f"not method {self.method!r} and langevin_time {self.langevin_time!r}"
                )
        if self.particles is not None:
            check_integer("particles", self.particles, at_least=1)
            if self.method not in ("mf", "mf-ard"):
                raise ArgumentError(f"particles is for mf and mf-ard, not for {self.method!r}")
        # The rest is checked by what it is handed to; do so now, before any work.
        _ = self.make_teacher, self.make_student, self.make_sampling

    @property
    def make_teacher(self) -> Teacher:
        """The teacher."""
        if self.teacher == "parity":
            return SparseParity(self.dim, self.sparsity)
        return SingleIndex(self.dim, self.sparsity, self.degree)

    @property
    def make_student(self) -> Student:
        """The student."""
        return Student(
            dim=self.dim,
            width=self.width,
            gamma=self.gamma,
            activation=self.activation,
            weight_variance=self.weight_variance,
            readout_variance=self.readout_variance,
            hidden_bias_variance=self.hidden_bias_variance,
            output_bias_variance=self.output_bias_variance,
        )

    @property
    def make_sampling(self) -> Sampling:
        """The sampler's settings, with the default budget of sampler and method.

        Plain MF moves by rare jumps of single particles, which take long and like low friction; its
        curvature stays at its start (0.5 to 0.7 at the paper's size), so a longer step is safe.
        """
        kind = "sgld" if self.protocol is not None else self.sampler
        slow = self.method == "mf" and kind == "underdamped"
        default = 4100.0 if kind == "sgld" else 7200.0 if slow else 3000.0
        friction = 0.01 if slow else 0.02
        return Sampling(
            sampler=kind,
            step=self.step,
            step_factor=1.5 if slow else 1.0,
            friction=friction if self.friction is None else self.friction,
            langevin_time=default if self.langevin_time is None else self.langevin_time,
            burn_in=self.burn_in,
            looks=self.looks,
            start=self.start,
        )

    def datasets(self) -> tuple[Dataset, Dataset]:
        """Training set and held-out points, on the device."""
        teacher, dtype = self.make_teacher, getattr(torch, self.dtype)
        return (
            draw(teacher, self.samples, seed=self.seed, dtype=dtype, device=self.device),
            draw(
                teacher,
                self.test_samples,
                seed=self.seed,
                stream="test",
                dtype=dtype,
                device=self.device,
            ),
        )


@dataclass(frozen=True)
class Point:
    """A finished point.

    Attributes
    ----------
    row : dict
        The numbers, see :func:`run_point`.
    weights : array (chains, particles, fan_in) or None
        Hidden weights of the last sample (None for the NNGP).
    """

    row: dict[str, Any]
    weights: FloatArray | None = None


def run_point(
    config: PointConfig, *, progress: bool = False, checkpoint: Path | None = None
) -> Point:
    """Compute one point.

    Parameters
    ----------
    config : PointConfig
    progress : bool
        Progress with the time left on standard error.
    checkpoint : Path, optional
        Resume from, and save to, this file.

    Returns
    -------
    Point
        ``row`` holds for every name of :data:`MEASURED` the mean over chains and ``NAME_sem``, its
        standard error over chains (None for one chain), and ``steps``, ``langevin_time``,
        ``seconds``, ``converged``, ``r_hat``, ``ess``, ``config``, ``version``. Every error is MSE.
        ``predictor`` says what ``test_mse`` is of.

    Raises
    ------
    FeatureLearningError
        See :mod:`feature_learning.errors`.
    """
    check_device(config.device)
    check_memory(config)
    started = time.perf_counter()
    point = _nngp(config) if config.method == "nngp" else _chains(config, progress, checkpoint)
    point.row["seconds"] = time.perf_counter() - started
    point.row["config"] = asdict(config)
    point.row["version"] = __version__
    return point


def _nngp(config: PointConfig) -> Point:
    """Kernel ridge regression at infinite width: a deterministic predictor."""
    if config.nngp_variant == "as-published":
        data = replace(config, test_samples=50_000)
        train, fresh = data.datasets()
        test = kernel_limit.as_published_points(train, fresh)
    else:
        train, test = config.datasets()
    result = kernel_limit.solve(
        config.make_student, train, test, kappa=config.kappa, variant=config.nngp_variant
    )
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
            "interrupted": False,
            "r_hat": None,
            "ess": None,
        }
    )


def _chains(config: PointConfig, progress: bool, checkpoint: Path | None) -> Point:
    """Network, MF or MF-ARD: sample, then summarise."""
    student, teacher, sampling = config.make_student, config.make_teacher, config.make_sampling
    data, test = config.datasets()
    common: dict[str, Any] = {
        "seed": config.seed,
        "checkpoint": checkpoint,
        "fingerprint": {**asdict(config), "version": __version__},
        "progress": progress,
        "label": f"{config.method} P={config.samples} κ={config.kappa:g}",
        "block_elements": config.block_elements,
    }
    stop: StopRule | None = StopWhenConverged() if config.stop_when_converged else None
    energy: Energy
    if config.method == "network":
        energy = network_posterior(
            student,
            data,
            kappa=config.kappa,
            chains=config.chains,
            block_elements=config.block_elements,
        )
        schedule = None
        if config.protocol is not None:
            protocol = PROTOCOLS[config.teacher]
            stop, schedule = (
                protocol.rule(config.samples, config.kappa),
                lambda sampler: protocol.schedule(sampler.step_size),
            )
        run, sampler = sample(
            energy, student, teacher, test, sampling, schedule=schedule, stop=stop, **common
        )
    else:
        solution = mean_field.solve(
            student,
            teacher,
            data,
            test,
            kappa=config.kappa,
            solver=config.solver,
            particles=config.particles,
            ard=Ard(config.alpha0) if config.method == "mf-ard" else None,
            chains=config.chains,
            sampling=sampling,
            stop=stop,
            **common,
        )
        run, sampler, energy = solution.run, solution.sampler, solution.energy
    weights = energy.readout(run.state.position).w.double().cpu().numpy()
    return Point(_summary(config, run, sampler), weights)


def _summary(config: PointConfig, run: ChainRun, sampler: Sampler) -> dict[str, Any]:
    """The row of a sampled point."""
    snapshot = config.protocol is not None
    names = ("test_mse", "train_mse", "m_S", "noise")
    values = {name: run.last(name) if snapshot else run.mean(name) for name in names}
    values["test_mse_posterior_mean"] = (
        np.full(config.chains, math.nan) if snapshot else run.posterior_mean["test_mse"]
    )
    row: dict[str, Any] = {}
    for name in MEASURED:
        row[name] = _number(values[name].mean())
        row[f"{name}_sem"] = _standard_error(values[name])
    row |= {f"{name}_last": _number(run.last(name).mean()) for name in ("test_mse", "m_S")}
    row["chains"] = {name: [_number(value) for value in values[name]] for name in MEASURED}
    judged = run.convergence
    row |= {
        "predictor": "one sample",
        "steps": int(run.steps[run.final_look].max()) if len(run.steps) else 0,
        "langevin_time": _number(run.times[run.final_look].mean()) if len(run.times) else 0.0,
        "step": sampler.step_size,
        "kinetic_temperature": _number(run.kinetic_temperature),
        "curvature": run.curvature,
        # A snapshot at a finite time is not equilibrium, whatever its chains say.
        "converged": judged.converged and not snapshot,
        "interrupted": run.interrupted,
        "r_hat": _number(max(judged.r_hat.values(), default=math.nan)),
        "ess": _number(min(judged.ess.values(), default=math.nan)),
        "r_hat_by_observable": {name: _number(value) for name, value in judged.r_hat.items()},
        "ess_by_observable": {name: _number(value) for name, value in judged.ess.items()},
    }
    return row


def _number(value: float | np.floating[Any]) -> float | None:
    """A float for JSON, which has no NaN."""
    return float(value) if math.isfinite(value) else None


def _standard_error(values: NDArray[np.float64]) -> float | None:
    """Standard error of the mean over chains; None for one chain."""
    if len(values) < 2:
        return None
    return _number(values.std(ddof=1) / math.sqrt(len(values)))


def _begin(threads: int) -> None:
    """Set a worker process up: its threads, and an end of its own should its parent be killed."""
    torch.set_num_threads(threads)
    parent = parent_process()
    if parent is not None:

        def follow() -> None:
            parent.join()
            os._exit(1)

        threading.Thread(target=follow, daemon=True).start()


def _checkpoint(config: PointConfig, folder: Path | None) -> Path | None:
    """Where a point of a pool keeps its checkpoint."""
    if folder is None:
        return None
    identity = json.dumps({"code": source_fingerprint(), **asdict(config)}, sort_keys=True)
    name = hashlib.sha256(identity.encode()).hexdigest()[:20]
    return folder / f"{config.method}-P{config.samples}-{name}.npz"


def run_points(
    configs: Mapping[Any, PointConfig],
    *,
    workers: int = 2,
    threads: int = 1,
    folder: Path | None = None,
    progress: bool = False,
) -> dict[Any, Point]:
    """Compute several points in a pool of processes; returns the points under the same keys.

    One thread per worker: at these sizes two points side by side finish sooner than two threads on
    one point, and the numbers do not depend on how many cores there are. Points with many samples
    start first.

    With a ``folder`` every sampled point keeps its checkpoint there, under a name made from its
    configuration and the library's source: after Ctrl-C or a crash the same call goes on where it
    was, and points that were finished come back at once.

    Raises
    ------
    ArgumentError
        If ``workers`` or ``threads`` is below 1.
    FeatureLearningError
        The first error of a point, after the points already running have ended.
    """
    check_integer("workers", workers, at_least=1)
    check_integer("threads", threads, at_least=1)
    points: dict[Any, Point] = {}
    order = sorted(configs, key=lambda key: -configs[key].samples)
    # Fork would copy the thread pools of torch in an unusable state: start workers afresh.
    with (
        ProcessPoolExecutor(
            workers, mp_context=get_context("spawn"), initializer=_begin, initargs=(threads,)
        ) as pool,
        tqdm(total=len(order), unit="point", disable=not progress, dynamic_ncols=True) as bar,
    ):
        futures = {
            pool.submit(run_point, configs[key], checkpoint=_checkpoint(configs[key], folder)): key
            for key in order
        }
        try:
            for future in as_completed(futures):
                points[futures[future]] = future.result()
                bar.update()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return {key: points[key] for key in configs}
