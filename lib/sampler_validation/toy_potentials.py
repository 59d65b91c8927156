r"""Small test distributions e^(-U/T) with known moments, in one or two dimensions.

The three potentials are wells that differ in how their curvature depends on position::

    harmonic   U = Σ_i λ_i x_i²/2                  the same everywhere
    quartic    U = x²/2 + x⁴/4                     larger outwards
    ridge      U = x²/2 + y² (1 + c x²)/2          across the ridge larger at large x

Their moments are one-dimensional integrals, since the ridge's y is Gaussian given x:
``p(x) ∝ e^(-x²/2T)/√(1 + c x²)``. Many independent chains run in one batch, stored coordinate by
coordinate in one flat vector, like the parameters of a network.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import Tensor

from feature_learning.energies.base import Energy
from feature_learning.errors import ArgumentError, check_integer, check_real
from feature_learning.model.parameters import Parameters
from feature_learning.samplers import Sampler
from sampler_validation.averaging import ratio, sums


class ToyPotential:
    """A distribution e^(-U/T) with a batch of chains, with the interface of an energy.

    Parameters
    ----------
    value, slope : callable
        U and ∇U as functions of coordinates (size, chains), of shapes (chains,) and (size, chains).
    size : int
        Number of coordinates.
    chains : int
    temperature : float
        Temperature T.
    """

    refresh_every = 0

    def __init__(
        self,
        value: Callable[[Tensor], Tensor],
        slope: Callable[[Tensor], Tensor],
        size: int,
        *,
        chains: int,
        temperature: float = 1.0,
    ) -> None:
        self.size, self.chains = size, check_integer("chains", chains, at_least=1)
        self.temperature = check_real("temperature", temperature, above=0)
        self._value, self._slope = value, slope

    def coordinates(self, theta: Tensor) -> Tensor:
        """View of the flat vector as (size, chains)."""
        return theta.view(self.size, self.chains)

    def views(self, theta: Tensor) -> Parameters:
        """The same view with chains as the first axis, like a network without readouts."""
        empty = theta.new_empty(self.chains, 0)
        return Parameters(self.coordinates(theta).t().unsqueeze(1), empty, empty)

    def value(self, theta: Tensor) -> Tensor:
        """U of each chain, (chains,)."""
        return self._value(self.coordinates(theta))

    def gradient(self, theta: Tensor, out: Tensor) -> None:
        """∇U, written into ``out``."""
        self.coordinates(out).copy_(self._slope(self.coordinates(theta)))


def harmonic(curvatures: Sequence[float], *, chains: int, temperature: float = 1.0) -> ToyPotential:
    """U = Σ_i λ_i x_i²/2."""
    if not len(curvatures):
        raise ArgumentError("curvatures must be at least one number, not none")
    for curvature in curvatures:
        check_real("curvatures", curvature, above=0)
    spring_constant = torch.tensor(list(curvatures), dtype=torch.float64).unsqueeze(1)
    return ToyPotential(
        lambda x: 0.5 * (spring_constant * x.square()).sum(dim=0),
        lambda x: spring_constant * x,
        len(spring_constant),
        chains=chains,
        temperature=temperature,
    )


def quartic(*, chains: int, temperature: float = 1.0) -> ToyPotential:
    """U = x²/2 + x⁴/4."""
    return ToyPotential(
        lambda x: (x.square() / 2 + x.square().square() / 4).sum(dim=0),
        lambda x: x + x**3,
        1,
        chains=chains,
        temperature=temperature,
    )


def ridge(*, chains: int, steepness: float = 1.0, temperature: float = 1.0) -> ToyPotential:
    """U = x²/2 + y²(1 + c x²)/2, with the ``steepness`` c."""
    c = check_real("steepness", steepness, above=0)

    def slope(at: Tensor) -> Tensor:
        x, y = at
        return torch.stack([x * (1 + c * y.square()), y * (1 + c * x.square())])

    return ToyPotential(
        lambda at: 0.5 * (at[0].square() + at[1].square() * (1 + c * at[0].square())),
        slope,
        2,
        chains=chains,
        temperature=temperature,
    )


@dataclass(frozen=True)
class TimeAverages:
    """Time averages of one observable over many chains, with standard errors over chains.

    Attributes
    ----------
    weighted, weighted_sem : float
        Average with the sampler's weights (Langevin times), a ratio of means.
    plain, plain_sem : float
        Average with equal weights.
    """

    weighted: float
    weighted_sem: float
    plain: float
    plain_sem: float


def averages(
    sampler: Sampler,
    law: ToyPotential,
    start: Tensor,
    observable: Callable[[Tensor], Tensor],
    *,
    steps: int,
    burn_in: int,
    discard: int = 0,
    every: int = 1,
    seed: int = 0,
) -> TimeAverages:
    """Run a sampler on a test distribution and average an observable of the coordinates.

    Parameters
    ----------
    sampler : Sampler
    law : ToyPotential
    start : Tensor
        Flat start, (size · chains,), in double precision.
    observable : callable
        Function of the coordinates (size, chains), of shape (chains,).
    steps : int
        Steps of the average.
    burn_in : int
        Steps of burn-in, in which the sampler may adapt.
    discard : int
        Steps after burn-in that are discarded, without adaptation.
    every : int
        Steps between two measurements.
    seed : int
        Seed of the noise.

    Raises
    ------
    ArgumentError
        If a chain has diverged, because the step is too long.
    """
    check_integer("steps", steps, at_least=1)
    check_integer("burn_in", burn_in, at_least=0)
    check_integer("discard", discard, at_least=0)
    check_integer("every", every, at_least=1, at_most=steps)
    random = torch.Generator().manual_seed(seed)
    # A Law has all that samplers need of an energy; only the run loop, which measures networks,
    # needs more.
    energy = cast(Energy, law)
    state = sampler.init(energy, start, random)
    sampler.for_burn_in().advance(state, energy, burn_in, random, done=0)
    sampler.advance(state, energy, discard, random, done=burn_in)
    measurements = steps // every
    found = sums(
        sampler,
        state,
        energy,
        lambda theta: observable(law.coordinates(theta)).unsqueeze(1),
        random,
        measurements=measurements,
        every=every,
        done=burn_in + discard,
    )
    finite = np.isfinite(found.weighted)
    if not finite.all():
        raise ArgumentError(
            f"step_size must be smaller than {sampler.step_size!r}: {int((~finite).sum())} of "
            f"{law.chains} chains diverged (NaN or inf)"
        )
    weighted, plain = ratio(found.weighted, found.weights), ratio(found.plain, measurements)
    return TimeAverages(*(float(each[0]) for each in (*weighted, *plain)))
