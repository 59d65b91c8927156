"""Population annealing: exactly known evidence and moments, families, ladders, tethers."""

import math

import numpy as np
import pytest
import torch
from scipy.special import gammaln, logsumexp
from scipy.stats import norm

from feature_learning import Student
from feature_learning.energies.tether import Tether, TetheredEnergy
from feature_learning.errors import ArgumentError
from feature_learning.evidence.annealing import Population, anneal, combined
from feature_learning.evidence.cooling import Cooling, Release, readout_evidence
from sampler_validation.known_answers import gaussian, linear_network, one_neuron

MEMBERS, RUNS = 256, 12


class Flat:
    """Members that do not move, each with a density that grows along the path at its own rate."""

    begin, end = 0.0, 1.0

    def __init__(self, members, slopes=None):
        self.slopes = np.zeros(members) if slopes is None else slopes

    def log_density(self, position):
        mine = self.slopes[position.long().numpy()]
        return lambda t: t * mine

    def choose(self, position, order):
        position.copy_(position[torch.from_numpy(order)])

    def move(self, population, random):
        pass


def cooled(problem, seed, *, members=MEMBERS, steps=24, share=0.8, tether=None, **options):
    random = torch.Generator().manual_seed(seed)
    settings = {"kappa": problem.kappa, "members": members, "steps": steps, "tether": tether}
    path = Cooling(problem.student, problem.data, **settings, **options)
    population = Population.of(path.start(random), members)
    assert anneal(population, path, share=share, random=random)
    if tether is not None:
        release = Release(problem.student, problem.data, **settings, **options)
        assert anneal(population, release, share=share, random=random)
    return population


def evidence(problem):
    """log Z(β) = log E_prior exp(-|y - f|²/(2κ²P)), exactly."""
    student, noise = problem.student, problem.kappa**2 * len(problem.data)
    inputs, labels = problem.data.inputs.numpy(), problem.data.labels.numpy()
    if problem.name == "one neuron":
        axis = np.linspace(-8, 8, 1601)
        w, a = np.meshgrid(axis, axis, indexing="ij")
        prior = -(w**2) / 2 - a**2 / 2
        f = a * np.maximum(inputs[0, 0] * w, 0)
        return logsumexp(prior - (f - labels[0]) ** 2 / (2 * noise)) - logsumexp(prior)
    kernel = student.weight_variance / student.dim * inputs @ inputs.T
    n, grid = student.width, np.linspace(-14, 4, 4001)
    # |a|²/N = q: the law of a χ² of N degrees of freedom over N.
    law = n / 2 * (grid + math.log(n / 2)) - n * np.exp(grid) / 2 - gammaln(n / 2)
    logs = [_gaussian(q * kernel, labels, noise) for q in np.exp(grid)]
    return logsumexp(law + logs) + math.log(grid[1] - grid[0])


def _gaussian(kernel, labels, noise):
    system = kernel / noise + np.eye(len(labels))
    solved = np.linalg.solve(system, labels) @ labels / noise
    return -0.5 * np.linalg.slogdet(system)[1] - 0.5 * solved


def test_the_evidence_of_given_features_is_that_of_their_kernel():
    known = gaussian()
    features = known.student.features(known.frozen, known.data.inputs).numpy()
    kernel = known.student.scale**2 * known.student.readout_variance * features.T @ features
    found = readout_evidence(known.student, known.data, known.frozen.unsqueeze(0))
    for kappa in (3.0, 0.5, 0.01):
        exact = _gaussian(kernel, known.data.labels.numpy(), kappa**2 * len(known.data))
        assert found(0.5 / kappa**2)[0] == pytest.approx(exact, rel=1e-9)
    assert found(0.0)[0] == 0


# Tethers far from the posterior as well: what is released forgets them.
@pytest.mark.parametrize("held", [False, True], ids=["from the prior", "off a tether"])
@pytest.mark.parametrize("problem", [one_neuron, linear_network], ids=lambda each: each.__name__)
def test_evidence_and_moments_are_those_known_exactly(problem, held):
    known = problem()
    tether = None
    if held:
        mean = np.full((1, known.student.fan_in), 0.8)
        tether = Tether(mean, np.full_like(mean, 3.0))
    runs = [cooled(known, seed, tether=tether) for seed in range(RUNS)]
    log_evidence, sem, weights = combined([each.log_evidence for each in runs])
    assert sem < 0.05
    assert abs(log_evidence - evidence(known)) < 5 * sem
    energy = known.energy(MEMBERS)
    means = np.stack([known.observe(energy, each.position).mean(dim=0).numpy() for each in runs])
    average = weights @ means
    spread = np.sqrt(np.square(weights) @ np.square(means - average) * RUNS / (RUNS - 1))
    assert (np.abs(average - known.exact) < 5.5 * spread).all()


def test_members_with_equal_weights_all_stay():
    """One step to the end of a path on which nothing changes keeps every family."""
    path = Flat(members=8)
    population = Population.of(torch.zeros(8), 8)
    assert anneal(population, path, random=torch.Generator().manual_seed(0))
    assert population.surviving == 8
    assert population.concentration == pytest.approx(1)
    assert population.log_evidence == 0
    assert population.ladder == [1.0]


def test_every_step_keeps_the_share_of_effective_members():
    path = Flat(members=64, slopes=np.random.default_rng(1).normal(size=64) * 30)
    population = Population.of(torch.arange(64.0), 64)
    assert anneal(population, path, share=0.7, random=torch.Generator().manual_seed(0))
    assert len(population.ladder) > 5
    assert min(population.effective) >= 0.7 * 64
    # The first family to be left alone is that of the largest slope.
    assert population.surviving < 8
    assert population.concentration > 8
    best = int(np.argmax(path.slopes))
    assert best in population.families


def test_the_log_of_the_mean_of_the_weights_is_counted():
    slopes = np.array([0.0, math.log(3)])
    path = Flat(members=2, slopes=slopes)
    population = Population.of(torch.arange(2.0), 2)
    anneal(population, path, share=0.5, random=torch.Generator().manual_seed(0))
    assert population.log_evidence == pytest.approx(math.log(2))


def test_a_population_goes_on_from_where_a_call_has_ended():
    known = linear_network()
    whole, parts = (torch.Generator().manual_seed(3) for _ in range(2))
    path = Cooling(known.student, known.data, kappa=0.05, members=32)
    one = Population.of(path.start(whole), 32)
    anneal(one, path, random=whole)
    other = Population.of(path.start(parts), 32)
    calls = 1
    while not anneal(other, path, random=parts, after=lambda population: True):
        calls += 1
    assert calls == len(one.ladder) > 3
    assert other.ladder == one.ladder
    assert other.log_evidence == one.log_evidence
    torch.testing.assert_close(other.position, one.position, rtol=0, atol=0)


@pytest.mark.parametrize(
    "logs", [[], [[1.0]], [math.nan], [-math.inf], [math.inf, 0.0], [math.nan, 0.0]]
)
def test_evidences_that_are_none_are_refused(logs):
    with pytest.raises(ArgumentError, match="log_evidences must be numbers"):
        combined(logs)


def test_one_population_that_outweighs_all_has_an_error_of_all():
    value, sem, weights = combined([0.0, -500.0, -600.0])
    assert value == pytest.approx(-math.log(3))
    assert sem == pytest.approx(1)
    assert weights == pytest.approx([1, 0, 0])
    assert math.isnan(combined([1.0])[1])
    assert combined([-math.inf, 0.0])[0] == pytest.approx(-math.log(2))


def test_a_release_without_a_tether_is_refused():
    known = linear_network()
    with pytest.raises(ArgumentError, match="needs a tether"):
        Release(known.student, known.data, kappa=1.0, members=2).law(0.5)


def test_a_tether_goes_to_the_prior_through_laws_of_its_kind():
    student = Student(dim=3, width=4, hidden_bias_variance=0.3)
    prior = Tether.prior(student, 2)
    assert prior.precision[0] == pytest.approx([3, 3, 3, 1 / 0.3])
    tether = Tether(np.full((2, 4), 2.0), np.full((2, 4), 9.0))
    middle = tether.towards(prior, 0.5)
    assert middle.precision[0] == pytest.approx([6, 6, 6, 0.5 * (9 + 1 / 0.3)])
    assert middle.mean[0, 0] == pytest.approx(9 * 2.0 / 2 / 6)
    assert tether.towards(prior, 1.0).mean == pytest.approx(0)
    w = tether.draw(4000, torch.Generator().manual_seed(1)).numpy()
    assert w.mean(axis=0) == pytest.approx(2, abs=5 / 3 / math.sqrt(4000))
    exact = norm.logpdf(w, 2, 1 / 3).sum(axis=(1, 2))
    np.testing.assert_allclose(tether.log_density(w), exact)


@pytest.mark.parametrize(
    ("mean", "precision", "words"),
    [
        (np.zeros(3), np.ones(3), "neurons, fan_in"),
        (np.zeros((1, 3)), np.ones((2, 3)), "neurons, fan_in"),
        (np.full((1, 1), math.inf), np.ones((1, 1)), "mean must be finite"),
        (np.zeros((1, 1)), np.zeros((1, 1)), "positive"),
    ],
)
def test_laws_that_are_none_are_refused(mean, precision, words):
    with pytest.raises(ArgumentError, match=words):
        Tether(mean, precision)


@pytest.mark.parametrize("shape", [(5, 2), (1, 3)])
def test_a_tether_that_does_not_fit_is_refused(shape):
    known = linear_network()
    energy = TetheredEnergy(known.student, known.data, kappa=0.5, chains=2)
    with pytest.raises(ArgumentError, match="does not fit"):
        energy.tether(Tether(np.zeros(shape), np.ones(shape)))


def test_the_gradient_of_a_tether_is_that_of_its_density():
    known = linear_network()
    energy = TetheredEnergy(known.student, known.data, kappa=0.5, chains=2)
    theta = known.start(energy, torch.Generator().manual_seed(1))
    plain, held = torch.empty_like(theta), torch.empty_like(theta)
    energy.gradient(theta, plain)
    law = Tether(np.array([[0.3, -1.0]]), np.array([[4.0, 7.0]]))
    energy.tether(law)
    energy.gradient(theta, held)
    w = energy.views(theta).w[:, :1].clone().requires_grad_()
    prior = Tether.prior(known.student, 1)
    change = sum(
        0.5 * torch.from_numpy(sign * each.precision) * (w - torch.from_numpy(each.mean)).square()
        for sign, each in ((1, law), (-1, prior))
    )
    (slope,) = torch.autograd.grad(energy.temperature * change.sum(), w)
    difference = energy.views(held - plain)
    torch.testing.assert_close(difference.w[:, :1], slope)
    assert (difference.w[:, 1:] == 0).all()
    assert (difference.a == 0).all()
