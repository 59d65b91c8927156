"""A prior of one's own in the place of the Gaussian."""

import pytest
import torch

from feature_learning import SingleIndex, Student, make_dataset, network_posterior
from feature_learning.energies.minibatch import MiniBatchEnergy
from feature_learning.energies.own_prior import OwnPriorEnergy
from feature_learning.errors import ArgumentError
from feature_learning.samplers import Gibbs

CHAINS = 3
STUDENT = Student(dim=4, width=5, hidden_bias_variance=0.7, weight_variance=1.3)
DATA = make_dataset(SingleIndex(4, 2, 2), 11, seed=0, dtype=torch.float64)
EXACT = {"rtol": 1e-10, "atol": 1e-12}


def laplace(parameters):
    return -2 * parameters.w.abs().sum(dim=(1, 2)) - parameters.a.abs().sum(dim=1)


def normal(parameters):
    w, a, _ = parameters
    found = -a.square().sum(dim=1) / 2 - w[..., :4].square().sum(dim=(1, 2)) * 4 / (2 * 1.3)
    return found - w[..., 4].square().sum(dim=1) / (2 * 0.7)


def own(log_prior, student=STUDENT):
    return OwnPriorEnergy(student, DATA, kappa=0.3, log_prior=log_prior, chains=CHAINS)


def start():
    random = torch.Generator().manual_seed(1)
    return STUDENT.sample_prior(CHAINS, 5, random, dtype=torch.float64)


def gradient(energy, theta):
    out = torch.full_like(theta, torch.nan)
    energy.gradient(theta, out)
    return out


def test_a_gaussian_of_ones_own_is_the_network_posterior():
    plain, theta = network_posterior(STUDENT, DATA, kappa=0.3, chains=CHAINS), start()
    torch.testing.assert_close(own(normal).value(theta), plain.value(theta), **EXACT)
    torch.testing.assert_close(gradient(own(normal), theta), gradient(plain, theta), **EXACT)
    assert not torch.allclose(gradient(own(laplace), theta), gradient(plain, theta))


def test_the_energy_is_the_mse_minus_t_times_the_log_prior():
    energy, theta = own(laplace), start().requires_grad_()
    loss = (STUDENT.forward(theta, DATA.inputs) - DATA.labels).square().mean(dim=1)
    value = loss - 2 * 0.3**2 * laplace(STUDENT.views(theta, CHAINS, 5))
    (expected,) = torch.autograd.grad(value.sum(), theta)
    torch.testing.assert_close(energy.value(theta.detach()), value.detach(), **EXACT)
    torch.testing.assert_close(gradient(energy, theta.detach()), expected, **EXACT)


def test_mini_batches_keep_the_prior():
    batches, theta, mean = MiniBatchEnergy(own(laplace), 4), start(), 0
    for block, n_train in enumerate((4, 4, 3)):
        out = torch.empty_like(theta)
        batches.estimate_from(theta, out, [block] * CHAINS)
        mean = mean + out * n_train / 11
    torch.testing.assert_close(mean, gradient(own(laplace), theta), **EXACT)


def test_gibbs_draws_of_gaussian_readouts_are_refused():
    random = torch.Generator().manual_seed(0)
    sampler, energy = Gibbs(0.1), own(laplace)
    state = sampler.init(energy, start(), random)
    with pytest.raises(ArgumentError, match="gibbs needs the Gaussian prior"):
        sampler.advance(state, energy, 1, random, done=0)


@pytest.mark.parametrize(
    ("log_prior", "words"),
    [
        (lambda p: -p.w.abs().sum(), r"must return a tensor \(3,\), not \(\)"),
        (lambda p: 0.0, r"must return a tensor \(3,\), not float"),
        (lambda p: torch.zeros(CHAINS), "must depend on the parameters"),
    ],
)
def test_a_log_prior_that_is_none_is_refused(log_prior, words):
    with pytest.raises(ArgumentError, match=f"log_prior {words}"):
        gradient(own(log_prior), start())


def test_a_log_prior_must_be_a_function():
    with pytest.raises(ArgumentError, match=r"log_prior must be a function .*, not 1\.0"):
        own(1.0)
