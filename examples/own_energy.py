"""An energy of one's own: the network posterior under a Laplace prior.

    python examples/own_energy.py

The prior is one function, and HMC samples the posterior without bias. For one neuron with one input
the exact answer is a sum over a grid of (w, a).
"""

import numpy as np
import torch

from feature_learning import SamplingOptions, Student, sample
from feature_learning.energies.own_prior import OwnPriorEnergy
from feature_learning.model.teachers import Dataset
from feature_learning.samplers.registry import HMCOptions

KAPPA, CHAINS, SCALE = 0.5, 400, 0.5**0.5  # exp(-|w|/SCALE) has variance 1


def log_prior(parameters):
    """Independent Laplace priors of all weights and readouts: the log-density of each chain."""
    w, a, _ = parameters
    return -(w.abs().sum(dim=(1, 2)) + a.abs().sum(dim=1)) / SCALE


def main() -> None:
    """Print the mean training MSE, sampled and exact."""
    torch.set_num_threads(1)
    student = Student(dim=1, width=1)  # f(x) = a relu(w x)
    data = Dataset(torch.tensor([[1.3]]).double(), torch.tensor([0.8]).double())
    energy = OwnPriorEnergy(student, data, kappa=KAPPA, chains=CHAINS, log_prior=log_prior)
    sampling = SamplingOptions(HMCOptions(), langevin_time=400.0, measurements=80)
    run, _ = sample(energy, student, test=data, sampling=sampling, seed=0)

    w, a = np.meshgrid(*2 * [np.linspace(-16, 16, 1601)], indexing="ij")
    mse = (a * np.maximum(1.3 * w, 0) - 0.8) ** 2
    weight = np.exp(-mse / (2 * KAPPA**2) - (np.abs(w) + np.abs(a)) / SCALE)
    means = run.mean("train_mse")
    error = means.std(ddof=1) / CHAINS**0.5
    print(f"training MSE by HMC:  {means.mean():.4f} +- {error:.4f}")
    print(f"training MSE exactly: {(weight * mse).sum() / weight.sum():.4f}")


if __name__ == "__main__":
    main()
