r"""Thermodynamic integration along a path: an estimate of the evidence without resampling.

Along a path of densities π_t, known up to a constant (:mod:`feature_learning.evidence.annealing`),
::

    log Z(end)/Z(begin) = ∫ ⟨∂ log π_t/∂t⟩_t dt

with the mean over draws from π_t (Kirkwood, J. Chem. Phys. 3, 300 (1935); Gelman and Meng, Stat.
Sci. 13, 163 (1998)). The integral is computed by Gauss-Legendre quadrature in the share u of the
path, with t(u) such that the integrand is smooth in u. Members move from node to node and are never
resampled, so that the estimate is independent of the weights in
:func:`~feature_learning.evidence.annealing.anneal`. Members that lag behind π_t cause a bias that
all integrals share: it depends on the number of steps at a node and is not visible in their spread.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import takewhile

import numpy as np
import torch

from feature_learning.errors import check_integer
from feature_learning.evidence.annealing import FloatArray, Path, Population

#: Nodes of the quadrature, and moves at each node.
NODES, LOOKS = 20, 20
#: Width of the finite difference for the derivative, as a share of the path.
_WIDTH = 1e-4


def integrate(
    population: Population,
    path: Path,
    *,
    nodes: int = NODES,
    measurements: int = LOOKS,
    random: torch.Generator,
    after: Callable[[Population], bool] | None = None,
) -> bool:
    """Move a population along a path, in place; returns True if it has reached the end.

    Parameters
    ----------
    population : Population
        At the start of the path, or where an earlier call has left it.
    path : Path
    nodes : int
        Number of nodes of the quadrature.
    measurements : int
        Moves at each node; the first quarter is burn-in.
    random : torch.Generator
        Generator on the device of the positions.
    after : callable, optional
        Called with the population after every move; the call ends if it returns True.

    Raises
    ------
    ArgumentError
        If a number is out of range.
    """
    check_integer("nodes", nodes, at_least=2)
    check_integer("measurements", measurements, at_least=4)
    points, weights = np.polynomial.legendre.leggauss(nodes)
    shares, weights = (points + 1) / 2, weights / 2
    places = np.array([path.place(share) for share in shares])
    while (found := _next(population, places, measurements)) is not None:
        node, measurement = found
        population.at = float(places[node])
        if measurement == 0:
            population.step_size = 0.0  # the step size of the last node was for another density
        population.ladder.append(population.at)
        population.effective.append(float(len(population.families)))
        path.move(population, random)
        if measurement >= measurements // 4:
            ends = [path.place(shares[node] + side * _WIDTH / 2) for side in (-1, 1)]
            log_density = path.log_density(population.position)
            slope = float((log_density(ends[1]) - log_density(ends[0])).mean()) / _WIDTH
            population.log_evidence += weights[node] * slope / (measurements - measurements // 4)
        if after is not None and after(population):
            break
    done = _next(population, places, measurements) is None
    if done:
        population.at = None
    return done


def _next(population: Population, places: FloatArray, measurements: int) -> tuple[int, int] | None:
    """The next node and measurement; None at the end of the path."""
    if population.at is None:
        return 0, 0
    node = int(np.flatnonzero(places == population.at)[0])
    made = sum(1 for _ in takewhile(lambda t: t == population.at, reversed(population.ladder)))
    if made < measurements:
        return node, made
    return (node + 1, 0) if node + 1 < len(places) else None
