"""Starting points of chains: draws from the prior, or networks planted on the target."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from feature_learning.model.parameters import Parameters
from feature_learning.model.student import Student
from feature_learning.model.teachers import Teacher

#: For each start type, the stride between planted chains, from the first chain on.
PLANTED_EVERY = {"planted": 1, "spread": 2}


def start_of_each(start: str, chains: int) -> tuple[str, ...]:
    """``prior`` or ``planted`` for each chain, given the start type of the run."""
    if start not in PLANTED_EVERY:
        return ("prior",) * chains
    every = PLANTED_EVERY[start]
    return tuple("prior" if chain % every else "planted" for chain in range(chains))


def plant(
    student: Student,
    teacher: Teacher,
    parameters: Parameters,
    random: torch.Generator,
    *,
    chains: Iterable[int] | None = None,
    signs: Tensor | None = None,
    neurons: int = 100,
    amplitude: float = 1.0,
    probes: int = 20_000,
) -> None:
    r"""Overwrite the first neurons of chains by neurons aligned with the target: a *planted* start.

    This applies to all chains, or to the chains with the numbers ``chains``.

    Neuron i gets w_S = amplitude · s and zero off S, where s is row i of ``signs`` (neurons, k), or
    a random sign vector on S by default. Its readout gets the sign of J_y(w_i) = E[φ(w_i·x) y]; all
    readouts have the same size, such that E[f y] = E[y²] for the planted part. Expectations are
    over ``probes`` fresh inputs. ``random`` is a generator on the CPU.
    """
    w, a, _ = parameters
    neurons = min(neurons if signs is None else len(signs), w.shape[1])
    inputs = teacher.inputs(probes, random)
    labels = teacher.target(inputs)
    for chain in range(w.shape[0]) if chains is None else chains:
        shape = neurons, teacher.sparsity
        if signs is None:
            chosen = torch.randint(0, 2, shape, generator=random, device="cpu").float() * 2 - 1
        else:
            chosen = signs[:neurons].to(torch.float32)
        planted = torch.zeros(neurons, student.fan_in, dtype=torch.float32, device="cpu")
        planted[:, : teacher.sparsity] = amplitude * chosen
        overlap = student.features(planted, inputs) @ labels / probes
        strength = teacher.second_moment / float(overlap.abs().sum().clamp_min(1e-12))
        # A mean field of M particles has the output scale N^(1-γ)/M instead of N^(-γ).
        scale = student.scale * student.width / w.shape[1]
        w[chain, :neurons] = planted.to(w)
        if a.shape[1]:
            a[chain, :neurons] = (overlap.sign() * strength / scale).to(a)
