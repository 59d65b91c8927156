r"""The free energy of a code: the evidence of the part of the posterior that has it.

A code is n specialised neurons with given sign patterns (:mod:`feature_learning.codes`). Which n of
the N neurons they are does not matter, so that the part of the posterior with this code consists of
N!/(N-n)! equal parts, divided by m! for every pattern that m neurons share. One of them, in which
the first n neurons have these patterns, is prepared and measured in three stages:

1. Four networks planted in the code are sampled at κ. Means and variances of the weights of the
   first n neurons make a tether (:mod:`feature_learning.tether`).
2. Independent populations are cooled from β = 0 to κ with the tether in place of the prior of these
   neurons,
3. and let go (:mod:`feature_learning.cooling`); log Ẑ of both stages is that of the part.

Nothing in it has to find the code by chance. It holds for what stays in the code to the end of the
release; the codes of all members there are reported. Without a code, n = 0, the populations begin
in the prior and Ẑ is that of whatever they find.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike

from feature_learning.annealing import FloatArray, Population, anneal, combined
from feature_learning.codes import Code, codes_of
from feature_learning.cooling import Cooling, Release
from feature_learning.energies import network_posterior
from feature_learning.errors import ArgumentError, check_integer, check_real
from feature_learning.samplers import Gibbs, Underdamped
from feature_learning.sampling import default_step
from feature_learning.student import Student
from feature_learning.teachers import Dataset
from feature_learning.tether import Tether

#: Of the networks that make the tether: how many, and how often they are looked at.
_CHAINS, _LOOKS = 4, 60
#: The tether is so many times as wide as the weights are at κ, where it holds them narrower.
_WIDER = 1.2


@dataclass(frozen=True)
class CodeEvidence:
    """What :func:`code_evidence` has found.

    Attributes
    ----------
    log_evidence : float
        Of the code: log of the mean Ẑ of the populations, and the arrangements.
    sem : float
        Its standard error, from the spread of the populations; NaN for one.
    arrangements : float
        log of how many neurons can take the roles in how many ways, in ``log_evidence`` already.
    populations : tuple of float
        log Ẑ of each.
    codes : tuple of Code
        Of every member at the end.
    staying : float
        The share of members at the end whose first neurons still have the given signs, with each
        population weighted by its Ẑ: the evidence is that of the code if it is near 1.
    surviving : tuple of int
        Families with members left, of each population.
    steps : tuple of int
        Steps of each population along both paths.
    """

    log_evidence: float
    sem: float
    arrangements: float
    populations: tuple[float, ...]
    codes: tuple[Code, ...]
    staying: float
    surviving: tuple[int, ...]
    steps: tuple[int, ...]


def code_evidence(
    student: Student,
    data: Dataset,
    patterns: ArrayLike,
    *,
    kappa: float,
    populations: int = 4,
    members: int = 16,
    steps: int = 30,
    share: float = 0.9,
    langevin_time: float = 1500.0,
    random: torch.Generator,
) -> CodeEvidence:
    """Evidence of a code at κ, or of what populations from the prior find.

    Parameters
    ----------
    student : Student
        Without output bias.
    data : Dataset
        Of a target that depends on the first coordinates.
    patterns : array (n, sparsity)
        Signs of the weights of the specialised neurons; (0, sparsity) begins in the prior.
    kappa : float
    populations, members : int
        Independent populations, and members of each.
    steps : int
        Steps of the sampler at every point of the paths. Too few make Ẑ too small.
    share : float
        Least effective share of members after a step along a path.
    langevin_time : float
        Of the networks that make the tether.
    random : torch.Generator
        On the device of the data.

    Raises
    ------
    ArgumentError
        If something is out of range, or the code does not hold at this κ.
    """
    signs = _signs(patterns)
    check_integer("populations", populations, at_least=1)
    check_real("langevin_time", langevin_time, above=0)
    ways = arrangements(signs, student.width)
    options = {"kappa": kappa, "members": members, "steps": steps}
    tether = None
    if len(signs):
        tether = settled_tether(
            student, data, signs, kappa=kappa, langevin_time=langevin_time, random=random
        )
    finished = []
    for _ in range(populations):
        cooling = Cooling(student, data, tether=tether, **options)  # type: ignore[arg-type]
        population = Population.of(cooling.start(random), members)
        anneal(population, cooling, share=share, random=random)
        if tether is not None:
            release = Release(student, data, tether=tether, **options)  # type: ignore[arg-type]
            anneal(population, release, share=share, random=random)
        finished.append(population)
    logs = [each.log_evidence for each in finished]
    log_evidence, sem, weights = combined(logs)
    networks = np.stack(
        [
            student.views(each.position, members, student.width).w.double().cpu().numpy()
            for each in finished
        ]
    )
    roles = networks[:, :, : len(signs), : signs.shape[1]]
    codes = codes_of(
        networks.reshape(-1, *networks.shape[2:]),
        dim=student.dim,
        sparsity=signs.shape[1],
        weight_variance=student.weight_variance,
    )
    return CodeEvidence(
        log_evidence + ways,
        sem,
        ways,
        tuple(logs),
        tuple(codes),
        float(weights @ (np.sign(roles) == signs).all(axis=(2, 3)).mean(axis=1)),
        tuple(each.surviving for each in finished),
        tuple(len(each.ladder) for each in finished),
    )


def settled_tether(
    student: Student,
    data: Dataset,
    patterns: ArrayLike,
    *,
    kappa: float,
    langevin_time: float = 1500.0,
    random: torch.Generator,
) -> Tether:
    """The law of the first neurons' weights in networks planted in a code and sampled at κ.

    The first third of the Langevin time is thrown away. Arguments as of :func:`code_evidence`.

    Raises
    ------
    ArgumentError
        If the neurons do not keep these patterns: there is no such code at this κ.
    """
    signs = torch.from_numpy(_signs(patterns))
    neurons, sparsity = signs.shape
    energy = network_posterior(student, data, kappa=kappa, chains=_CHAINS)
    like = data.labels
    position = student.sample_prior(
        _CHAINS, student.width, random, dtype=like.dtype, device=like.device
    )
    w = energy.views(position).w
    w[:, :neurons, :sparsity] = signs.to(w)
    # Irrelevant weights of a specialised neuron are small: the prior's own would disturb it.
    w[:, :neurons, sparsity : student.dim].mul_(0.2)
    Gibbs(1.0).draw_readouts(energy, position, random)
    sampler = Underdamped(default_step(Underdamped(1.0), energy, position)).settling()
    state = sampler.init(energy, position, random)
    steps = math.ceil(langevin_time / _LOOKS / sampler.step_size)
    seen = []
    for look in range(_LOOKS):
        if look == _LOOKS // 10:
            sampler = Underdamped(sampler.step_size)
        with energy.field.stepping():
            sampler.advance(state, energy, steps, random, done=look * steps)
        if look >= _LOOKS // 3:
            seen.append(energy.views(state.position).w[:, :neurons].double().cpu().clone())
    found = torch.cat(seen)
    kept = float((found[..., :sparsity].sign() == signs).all(dim=2).double().mean())
    if kept < 1:
        texts = " ".join(pattern_text(each) for each in signs.numpy())
        raise ArgumentError(
            f"patterns {texts} do not hold at kappa = {kappa:g}: after settling only "
            f"{100 * kept:.0f} % of the neurons have their signs"
        )
    variance = _WIDER**2 * found.var(dim=0)
    return Tether(found.mean(dim=0).numpy(), 1 / variance.numpy())


def arrangements(patterns: ArrayLike, width: int) -> float:
    """In how many ways neurons can take the roles of a code: log N!/((N-n)! Π m!).

    Raises
    ------
    ArgumentError
        If ``patterns`` are no (n, sparsity) signs, or more than the network has neurons.
    """
    signs = _signs(patterns)
    check_integer("width", width, at_least=max(1, len(signs)))
    ways = math.lgamma(width + 1) - math.lgamma(width - len(signs) + 1)
    shared = Counter(map(pattern_text, signs)).values()
    return ways - sum(math.lgamma(count + 1) for count in shared)


def pattern_text(signs: ArrayLike) -> str:
    """Signs as a text such as ``+-++``."""
    return "".join("+" if sign > 0 else "-" for sign in np.asarray(signs))


def _signs(patterns: ArrayLike) -> FloatArray:
    signs = np.asarray(patterns, dtype=np.float64)
    if signs.ndim != 2 or not signs.shape[1] or not (np.abs(signs) == 1).all():
        raise ArgumentError(f"patterns must be (neurons, sparsity) of +1 and -1, not {patterns!r}")
    return signs
