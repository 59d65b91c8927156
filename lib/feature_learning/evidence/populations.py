r"""Evidence from independent populations of networks, which are run one after another.

Each population is cooled from the prior to κ. With a code it is cooled with a tether that holds the
code, and then released (:mod:`feature_learning.evidence.cooling`). A code is a set of n specialised
neurons with given sign patterns (:mod:`feature_learning.model.codes`). The part of the posterior
with this code consists of N!/((N-n)! Π m!) equal parts, which differ in the choice of the n among N
neurons; m is the number of neurons that share a pattern. The populations measure one part, so ::

    log Z(code) = log (mean Ẑ) + log N!/((N-n)! Π m!)

No step has to find the code by chance. Members that have left the code at the end, so that its
neurons have other signs, do not count: Ẑ is multiplied by the share of members that stay.
Differences of -log Z between codes are differences of their free energies in units of T.
"""

from __future__ import annotations

import math
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from feature_learning.errors import check_integer, check_real, check_scale
from feature_learning.evidence.annealing import FloatArray, Population, combined
from feature_learning.evidence.work import Work
from feature_learning.inference import checkpoints
from feature_learning.inference.interruption import deferred_interrupt
from feature_learning.inference.progress import progress_bar
from feature_learning.inference.stopwatch import Stopwatch
from feature_learning.model.codes import check_signs, pattern_text
from feature_learning.model.student import Student
from feature_learning.model.teachers import Dataset


@dataclass(frozen=True)
class Evidence:
    """The result of :func:`run`.

    Attributes
    ----------
    log_evidence : float
        log Z of the code, or of all states that the populations found if no code is given; NaN if
        no population is finished, or none has stayed in the code.
    sem : float
        Its standard error, from the spread of the populations or integrals; NaN for fewer than two.
    populations : array (finished,)
        log Ẑ of each population, without the number of arrangements; -inf if no member has stayed
        in the code.
    weights : array (finished,)
        Weights Ẑ/Σ Ẑ of averages over populations; equal for integrals.
    staying : list of array (members,) of bool
        For each finished population, True for members whose first neurons have the code's signs at
        the end; True for all members if no code is given.
    surviving : array (finished,) of int
        Number of families with members left.
    concentration : array (finished,)
        ρ_t: in the worst case averages have the error of members/ρ_t independent members.
    noises : array (finished,) of int
        Number of steps along the paths.
    positions : list of Tensor
        Positions of the members of each finished population, flat.
    interrupted : bool
    """

    log_evidence: float
    sem: float
    populations: FloatArray
    weights: FloatArray
    staying: list[NDArray[np.bool_]]
    surviving: NDArray[np.int64]
    concentration: FloatArray
    noises: NDArray[np.int64]
    positions: list[Tensor]
    interrupted: bool


def arrangements(signs: ArrayLike, width: int) -> float:
    """Log of the number of ways to assign neurons to a code, log N!/((N-n)! Π m!).

    Raises
    ------
    ArgumentError
        If ``signs`` are not (n, sparsity) of +1 and -1, or more than the network has neurons.
    """
    patterns = check_signs(signs)
    check_integer("width", width, at_least=max(1, len(patterns)))
    ways = math.lgamma(width + 1) - math.lgamma(width - len(patterns) + 1)
    shared = Counter(map(pattern_text, patterns)).values()
    return ways - sum(math.lgamma(count + 1) for count in shared)


def run(
    student: Student,
    data: Dataset,
    signs: ArrayLike,
    *,
    kappa: float,
    populations: int = 4,
    members: int = 16,
    steps: int = 30,
    share: float = 0.9,
    langevin_time: float = 1500.0,
    integral: bool = False,
    random: torch.Generator,
    tile_elements: int | None = None,
    checkpoint: Path | str | None = None,
    fingerprint: dict[str, Any] | None = None,
    progress: bool = False,
    label: str = "",
    stopwatch: Stopwatch | None = None,
) -> Evidence:
    """Evidence of a code at κ, or of the states that populations from the prior find.

    Parameters
    ----------
    student : Student
        Network without output bias.
    data : Dataset
        Training set of a target that depends on the first coordinates.
    signs : array (n, sparsity)
        Signs of the weights of the specialised neurons; (0, sparsity) starts from the prior.
    kappa : float
    populations, members : int
        Number of independent populations, and of members of each.
    steps : int
        Steps of the sampler at every point of the paths. Too few steps make Ẑ too small.
    share : float
        Smallest effective share of members after a step along a path.
    langevin_time : float
        Langevin time of the networks from which the tether of a code is made.
    integral : bool
        Integrate along the same paths (:mod:`feature_learning.evidence.integration`) instead of
        resampling: every population is one integral, and the result is their mean. ``share`` then
        has no effect.
    random : torch.Generator
        Generator on the device of the data.
    tile_elements, checkpoint, fingerprint, progress, label, stopwatch
        See :func:`feature_learning.inference.chains.run_chains`.

    Raises
    ------
    ArgumentError
        If an argument is out of range, or the code does not hold at this κ.
    CheckpointError
        If the checkpoint is damaged, belongs to another run, is in use, or cannot be written.
    """
    patterns = check_signs(signs)
    check_scale("kappa", kappa)
    check_integer("populations", populations, at_least=1)
    check_integer("members", members, at_least=2)
    check_integer("steps", steps, at_least=1)
    check_real("langevin_time", langevin_time, above=0)
    check_real("share", share, above=0, at_most=0.999)
    ways = arrangements(patterns, student.width)
    stopwatch, known = stopwatch or Stopwatch(), fingerprint or {}
    checkpoint = None if checkpoint is None else Path(checkpoint)
    with checkpoints.reserved(checkpoint):
        work = Work(
            student,
            data,
            patterns,
            random,
            populations=populations,
            members=members,
            kappa=kappa,
            steps=steps,
            share=share,
            langevin_time=langevin_time,
            tile_elements=tile_elements,
            integral=integral,
        )
        stored = checkpoints.load(checkpoint, known) if checkpoint is not None else None
        if stored is not None:
            with checkpoints.fitting(checkpoint):
                work.restore(stored)
                stopwatch.earlier = float(stored["seconds"])
            if progress:
                name = f"{label}: " if label else ""
                print(
                    f"{name}resumed after {work.done:.2f} of {work.total:g} populations and "
                    f"{stopwatch.earlier:.1f} s, from {checkpoint}",
                    file=sys.stderr,
                )
        with (
            deferred_interrupt() as interrupt,
            progress_bar(
                work.total,
                work.done,
                label=label,
                unit="population",
                shown=progress,
                bar_format="{l_bar}{bar}| {elapsed}<{remaining}{postfix}",
            ) as bar,
        ):
            while len(work.finished) < populations and not interrupt:
                work.advance()
                bar.update(work.done - bar.n)
                if checkpoint is not None:
                    seconds = {"seconds": np.array(stopwatch.seconds)}
                    checkpoints.save(checkpoint, work.arrays() | seconds, known)
    return _evidence(work, ways)


def _evidence(work: Work, ways: float) -> Evidence:
    finished = work.finished
    staying = [_staying(work, each) for each in finished]
    with np.errstate(divide="ignore"):
        shares = np.log([each.mean() for each in staying])
    logs = np.array([each.log_evidence for each in finished]) + shares
    log_evidence, sem, weights = math.nan, math.nan, np.zeros(len(logs))
    if work.integral and len(logs):
        weights = np.full(len(logs), 1 / len(logs))
        log_evidence = float(logs.mean())
        sem = float(logs.std(ddof=1)) / math.sqrt(len(logs)) if len(logs) > 1 else math.nan
    elif (logs > -math.inf).any():
        log_evidence, sem, weights = combined(logs)
    return Evidence(
        log_evidence + ways,
        sem,
        logs,
        weights,
        staying,
        np.array([each.surviving for each in finished], np.int64),
        np.array([each.concentration for each in finished], np.float64),
        np.array([len(each.ladder) for each in finished], np.int64),
        [each.position for each in finished],
        len(finished) < work.populations,
    )


def _staying(work: Work, population: Population) -> NDArray[np.bool_]:
    """Which members have the code, (members,)."""
    w = work.student.views(population.position, work.members, work.student.width).w
    neurons, sparsity = work.signs.shape
    roles = w[:, :neurons, :sparsity].double().cpu().numpy()
    return np.asarray((np.sign(roles) == work.signs).all(axis=(1, 2)))
