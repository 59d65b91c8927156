"""SGLD by hand: a network, its energy, a sampler, and the loop.

    python examples/sgld_by_hand.py

The teacher is linear and so is the student. One linear neuron is f(x) = a w x, and its posterior is
known: the exact training MSE is a sum over a grid of (w, a).
"""

import numpy as np
import torch

from feature_learning import SGLD, Student, network_posterior
from feature_learning.model.teachers import Dataset

KAPPA, CHAINS, STEPS = 0.3, 200, 4000


def main() -> None:
    """Run the chains, and print their training MSE beside the exact one."""
    torch.set_num_threads(1)
    x = torch.linspace(-1, 1, 12, dtype=torch.float64).unsqueeze(1)
    data = Dataset(x, 0.8 * x[:, 0])
    network = Student(dim=1, width=1, activation="linear")
    energy = network_posterior(network, data, kappa=KAPPA, chains=CHAINS)  # U = MSE + T prior
    sampler, random = SGLD(step_size=0.02), torch.Generator().manual_seed(0)

    theta = network.sample_prior(CHAINS, network.width, random, dtype=torch.float64)
    state, losses = sampler.init(energy, theta, random), []
    for step in range(0, STEPS, 10):
        sampler.advance(state, energy, 10, random, done=step)
        if step >= STEPS // 2:
            f = network.forward(state.position, data.inputs)  # (chains, samples)
            losses.append((f - data.labels).square().mean(dim=1))

    grid = np.linspace(-8, 8, 801)
    slope = np.multiply.outer(grid, grid)  # of f, for each (w, a)
    mse = (slope - 0.8) ** 2 * float(x.square().mean())
    prior = np.add.outer(grid**2, grid**2) / 2
    weight = np.exp(-mse / (2 * KAPPA**2) - prior)
    per_chain = torch.stack(losses).mean(dim=0)
    error = float(per_chain.std()) / CHAINS**0.5
    print(f"training MSE by SGLD: {float(per_chain.mean()):.4f} +- {error:.4f}")
    print(f"training MSE exactly: {(weight * mse).sum() / weight.sum():.4f}")


if __name__ == "__main__":
    main()
