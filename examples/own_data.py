"""The posterior of a network on a data set of one's own: arrays in, draws of predictions out.

    python examples/own_data.py

Ten noisy values of sin(2x) are the data. A network of 128 neurons is close to its limit of infinite
width (NNGP), for which the posterior mean is known exactly: the last column.
"""

import numpy as np
import torch

from feature_learning import Student, posterior
from feature_learning.model.teachers import Dataset
from feature_learning.theory import kernel_limit

NOISE = 0.2  # standard deviation of a label


def main() -> None:
    """Sample, and compare with the kernel."""
    torch.set_num_threads(1)  # the fastest for a problem this small
    random = np.random.default_rng(0)
    x = random.uniform(-1.5, 1.5, size=(10, 1))
    y = np.sin(2 * x[:, 0]) + NOISE * random.normal(size=10)
    grid = np.linspace(-1.5, 1.5, 9)[:, None]

    network = Student(dim=1, width=128, hidden_bias_variance=1.0)
    kappa = NOISE / np.sqrt(len(x))  # a label has noise of variance kappa^2 P
    found = posterior(x, y, network, kappa=kappa, test_inputs=grid, seed=1)

    train = Dataset(torch.tensor(x), torch.tensor(y))
    test = Dataset(torch.tensor(grid), torch.zeros(len(grid)))
    exact = kernel_limit.solve(network, train, test, kappa=kappa).predictions.numpy()
    print("    x  network  +- std  kernel")
    for row in zip(grid[:, 0], found.mean(), found.std(), exact, strict=True):
        print("{:5.2f} {:8.3f} {:7.3f} {:7.3f}".format(*row))
    print(f"largest difference from the kernel: {np.abs(found.mean() - exact).max():.3f}")
    print(f"chains {found.verdict}: R-hat {found.r_hat:.4f}, ESS {found.ess:.0f}")


if __name__ == "__main__":
    main()
