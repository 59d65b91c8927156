"""Small distributions with known answers for testing samplers: one chain, one draw."""

from __future__ import annotations

import math

import numpy as np
import torch

from feature_learning.model.parameters import Parameters

SIGMAS = 4.5


class Toy:
    """U of each chain from a function of its coordinates (chains, size); counts its gradients."""

    refresh_every = 0

    def __init__(self, function, size, chains, temperature=1.0):
        self.function, self.size, self.chains = function, size, chains
        self.temperature, self.gradients = temperature, 0

    def views(self, flat):
        empty = flat.new_empty(self.chains, 0)
        return Parameters(flat.view(self.size, 1, self.chains).permute(2, 1, 0), empty, empty)

    def coordinates(self, flat):
        return flat.view(self.size, self.chains).t()

    def value(self, theta):
        return self.function(self.coordinates(theta)).double()

    def gradient(self, theta, out):
        self.gradients += 1
        leaf = theta.detach().clone().requires_grad_()
        (gradient,) = torch.autograd.grad(self.value(leaf).sum(), leaf)
        out.copy_(gradient)


def quartic(x):
    """U = x²/2 + x⁴/4, in one dimension."""
    return (x.square() / 2 + x.square().square() / 4).sum(dim=1)


def ridge(x):
    """U = x²/2 + y²(1+x²)/2: at T = 1, p(x) ∝ e^(-x²/2)/√(1+x²)."""
    return x[:, 0].square() / 2 + x[:, 1].square() * (1 + x[:, 0].square()) / 2


GRID = np.linspace(-8, 8, 40_001)


def expectation(potential, observable, temperature=1.0):
    """Of a one-dimensional law, on a grid."""
    weight = np.exp(-potential(GRID) / temperature)
    return float((weight * observable(GRID)).sum() / weight.sum())


def exact_draws(potential, count, seed, temperature=1.0):
    """Independent draws of a one-dimensional law, by its distribution function."""
    cumulative = np.cumsum(np.exp(-potential(GRID) / temperature))
    uniform = np.random.default_rng(seed).uniform(size=count) * cumulative[-1]
    return torch.from_numpy(np.interp(uniform, cumulative, GRID))


def moved(sampler, energy, position, steps, *, seed=1, burn_in=0):
    """Where the chains are after ``burn_in`` steps of burn-in and ``steps`` others."""
    random = torch.Generator().manual_seed(seed)
    state = sampler.init(energy, position, random)
    sampler.for_burn_in().advance(state, energy, burn_in, random, done=0)
    sampler.advance(state, energy, steps, random, done=burn_in)
    return state


def deviation(draws, exact):
    """(mean - exact) in standard errors of independent draws."""
    draws = np.asarray(draws, dtype=float)
    return (draws.mean() - exact) / (draws.std(ddof=1) / math.sqrt(len(draws)))
