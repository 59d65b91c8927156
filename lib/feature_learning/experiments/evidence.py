"""The row of a point that measures an evidence and averages over the members."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from feature_learning.energies.particles import network_posterior
from feature_learning.evidence import populations as evidence
from feature_learning.evidence.annealing import FloatArray
from feature_learning.evidence.populations import Evidence
from feature_learning.experiments.config import PointConfig
from feature_learning.experiments.runs import Integrals, Populations
from feature_learning.files.documents import finite
from feature_learning.inference.observables import Observer, decompose
from feature_learning.model.codes import Code, codes_of, summary
from feature_learning.model.randomness import generator
from feature_learning.model.student import Student
from feature_learning.model.teachers import Dataset

#: Largest standard error of log Z: beyond it one population in four may outweigh the others.
_LARGEST_ERROR = 0.5
#: Observables of one network, by their names in a row.
_NAMES = ("test_mse", "train_mse", "m_S", "noise", "relevant_variance", "specialised")


def compute(
    config: PointConfig, run: Populations, **common: Any
) -> tuple[dict[str, Any], FloatArray, FloatArray]:
    """The row, and the weights and readouts of one member of each population.

    ``common`` holds checkpoint, fingerprint, progress, label and stopwatch.
    """
    student = config.student
    data, test = config.datasets()
    found = evidence.run(
        student,
        data,
        np.array(config.signs, dtype=np.float64).reshape(-1, config.teacher.sparsity),
        kappa=config.kappa,
        populations=run.chains,
        members=run.networks,
        steps=run.steps,
        langevin_time=run.settling_time,
        integral=isinstance(run, Integrals),
        random=generator(config.seed, "population", device=config.machine.device),
        tile_elements=config.machine.tile_elements,
        **common,
    )
    measured = [
        _measure(config, student, data, test, *each)
        for each in zip(found.positions, found.staying, strict=True)
    ]
    share = float(np.mean(found.staying)) if found.staying else math.nan
    row: dict[str, Any] = {"chains": {}}
    for name in (*_NAMES, "test_mse_posterior_mean"):
        values = np.array([each[name] for each in measured])
        row[name], row[f"{name}_sem"] = _average(values, found.weights)
        row["chains"][name] = [finite(each) for each in values]
    reasons = _reasons(run, found)
    row |= {
        "test_mse_last": row["test_mse"],
        "m_S_last": row["m_S"],
        "predictor": "one sample",
        "steps": int(found.noises.sum()) * run.steps,
        "langevin_time": None,
        "step": None,
        "kinetic_temperature": None,
        "curvature": None,
        "converged": not reasons,
        "not_converged_because": reasons,
        "interrupted": found.interrupted,
        "r_hat": None,
        "ess": None,
        "swap_rate": None,
        "log_evidence": finite(found.log_evidence),
        "log_evidence_sem": finite(found.sem),
        "populations": [finite(each) for each in found.populations],
        "surviving_families": found.surviving.tolist(),
        "concentration": found.concentration.tolist(),
        "noises": found.noises.tolist(),
        "staying": finite(share),
        "codes": None,
    }
    # NaN for populations that an interrupt has left unfinished.
    weights = np.full((run.chains, student.width, student.fan_in), math.nan)
    readouts = np.full((run.chains, student.width), math.nan)
    codes: list[Code] = []
    for number, position in enumerate(found.positions):
        w, a, _ = student.views(position, run.networks, student.width)
        weights[number], readouts[number] = w[0].cpu().numpy(), a[0].cpu().numpy()
        codes += codes_of(
            w.double().cpu().numpy(),
            dim=config.teacher.dim,
            sparsity=config.teacher.sparsity,
            weight_variance=config.network.weight_variance,
        )
    if codes:
        row["codes"] = summary(codes)
    return row, weights, readouts


def _measure(
    config: PointConfig,
    student: Student,
    data: Dataset,
    test: Dataset,
    position: torch.Tensor,
    staying: NDArray[np.bool_],
) -> dict[str, float]:
    """Averages over the members of a population that have the code; NaN if none has it."""
    if not staying.any():
        return dict.fromkeys((*_NAMES, "test_mse_posterior_mean"), math.nan)
    energy = network_posterior(
        student,
        data,
        kappa=config.kappa,
        chains=config.networks,
        tile_elements=config.machine.tile_elements,
    )
    observer = Observer(
        student,
        energy,
        test,
        sparsity=config.teacher.sparsity,
        tile_elements=config.machine.tile_elements,
    )
    values = observer.measure(position, average=True)
    here = torch.from_numpy(staying).to(position.device)
    together = observer.mean_predictions[here].mean(dim=0, keepdim=True)
    mean = decompose(together, test.labels.double())["test_mse"]
    return {name: float(values[name][staying].mean()) for name in _NAMES} | {
        "test_mse_posterior_mean": float(mean)
    }


def _average(values: FloatArray, weights: FloatArray) -> tuple[float | None, float | None]:
    """Weighted mean over populations, and its standard error from their spread."""
    counted = weights > 0
    values, weights, count = values[counted], weights[counted], len(values)
    if not len(values):
        return None, None
    mean = float(weights @ values)
    if count < 2:
        return finite(mean), None
    spread = float(np.square(weights) @ np.square(values - mean)) * count / (count - 1)
    return finite(mean), finite(math.sqrt(spread))


def _reasons(run: Populations, found: Evidence) -> list[str]:
    """Why averages over the members may differ from posterior averages."""
    reasons = []
    kind = "integrals" if isinstance(run, Integrals) else "populations"
    finished = len(found.populations)
    if found.interrupted:
        reasons.append(f"interrupted: {finished} of {run.chains} {kind} are finished")
    if finished < 4:
        reasons.append(f"{finished} {kind}; at least 4 are needed")
    if finished > 1 and not found.sem <= _LARGEST_ERROR:
        reasons.append(
            f"the error of the log evidence is {found.sem:.2g}, more than {_LARGEST_ERROR:g}"
        )
    alone = int((found.surviving == 1).sum())
    if alone:
        reasons.append(f"populations with a single surviving family: {alone}")
    if found.staying and (share := np.mean(found.staying)) < 1:
        reasons.append(f"only {100 * share:.3g} % of the members have kept the code")
    if run.code is not None:
        reasons.append("other codes contribute to the posterior too: compare their log evidence")
    return reasons
