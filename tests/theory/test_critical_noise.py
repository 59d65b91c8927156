"""Critical noise: importance sampling against quadrature, prior draws and particles."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.optimize import brentq

from feature_learning import Student, Underdamped
from feature_learning.energies.collapsed import CollapsedEnergy
from feature_learning.errors import ArgumentError, ConvergenceError
from feature_learning.model.overlaps import gaussian_overlap, sign_cube
from feature_learning.model.priors import Ard
from feature_learning.model.teachers import Dataset
from feature_learning.theory import population
from feature_learning.theory.ard_population import branch
from feature_learning.theory.critical_noise import noise_of_overlap
from feature_learning.theory.one_neuron import OneNeuron, sufficient


def test_averages_are_those_of_weighted_draws_from_the_prior():
    """At a mild reward, where draws from the prior still reach the tilted law."""
    dim, sparsity, ratio, lam, nu = 12, 2, 3.0, 15.0, 4.0
    neuron = OneNeuron(dim, sparsity, ratio=ratio)
    neuron.start(nu)
    neuron.fit(lam, nu)
    found = neuron.averages(lam, nu)
    random = torch.Generator().manual_seed(0)
    x = torch.randn(200_000, dim, generator=random, dtype=torch.float64)
    w = x.clone()
    w[:, :sparsity] *= math.sqrt(ratio)
    overlap, half = gaussian_overlap(w, sparsity), nu + w.square().sum(dim=1) / 2
    weight = torch.exp(lam * overlap**2 / half) / half.sqrt()
    moments = (
        (overlap**2 / half, found.reward),
        (1 - x[:, :sparsity].square().mean(dim=1), found.relevant),
        (1 - x[:, sparsity:].square().mean(dim=1), found.irrelevant),
    )
    for values, ours in moments:
        mean = float((weight * values).sum() / weight.sum())
        error = float((weight * (values - mean)).norm() / weight.sum())
        assert error < 0.005 * max(1, abs(mean)), "the test could not tell"
        assert abs(ours - mean) < 4 * error
    assert float(found.relevant) < 0 < float(found.irrelevant), "the reward stretches w on S"
    assert found.ess > 0.3


@pytest.mark.parametrize(
    ("student", "sparsity", "m"),
    [
        (Student(dim=20, width=100), 2, 0.5),
        (Student(dim=20, width=100), 2, 0.05),
        (Student(dim=12, width=30, gamma=0.8, readout_variance=0.5, weight_variance=2.0), 2, 0.4),
        (Student(dim=20, width=200), 1, 0.5),
    ],
)
def test_plain_noise_is_that_of_the_quadrature(student, sparsity, m):
    ours = noise_of_overlap(student, sparsity=sparsity, m_S=m)
    theirs = population.solve(student, sparsity=sparsity, kappa=ours.kappa, points=48)
    assert theirs.converged
    assert abs(theirs.m_S - m) < 3e-3 * m + theirs.discretisation


def test_the_known_overlap_of_plain_mean_field_at_the_papers_size():
    """m_S = 0.612 with an error of 0.004 at κ = 0.005, by quadrature."""
    ours = noise_of_overlap(Student(dim=35, width=512), sparsity=4, m_S=0.612)
    assert ours.kappa == pytest.approx(0.005, rel=0.01)
    other = noise_of_overlap(Student(dim=35, width=512), sparsity=4, m_S=0.612, seed=1)
    assert other.kappa == pytest.approx(ours.kappa, rel=1e-3)


def test_a_strong_hyper_prior_gives_plain_mean_field():
    student = Student(dim=20, width=100)
    ours = branch(student, sparsity=2, alpha0=2e4, ratios=1 + np.geomspace(1e-4, 3e-3, 6))
    assert ours.folds() is None
    for m, kappa in zip(ours.m_S, ours.kappa, strict=True):
        assert kappa == pytest.approx(noise_of_overlap(student, sparsity=2, m_S=m).kappa, rel=0.01)
    assert ours.m_S.min() < 0.1 < 0.3 < ours.m_S.max()
    assert math.isnan(ours.coexistence())
    assert [each.kind for each in ours.solutions(float(ours.kappa[3]))] == ["only"]


class Quadrature:
    """MF-ARD for |S| = 2 on a product grid of prior units: nothing in common with the draws."""

    def __init__(self, student: Student, kappa: float, share: float) -> None:
        self.student, self.kappa, self.share, off = student, kappa, share, student.dim - 2
        x = (torch.arange(46, dtype=torch.float64) + 0.5) * 0.2
        t = (torch.arange(60, dtype=torch.float64) + 0.5) * ((math.sqrt(off) + 5) / 60)
        self.grid = torch.cartesian_prod(x, x, t)
        self.base = -self.grid.square().sum(dim=1) / 2 + (off - 1) * self.grid[:, 2].log()

    def law(self, relevant: float, irrelevant: float) -> tuple[float, float, float, float]:
        """m, the next ρ_S and ρ_irr, and the free energy of these ρ (all in units of d/σ_w²)."""
        n, d, kappa, a = self.student.width, self.student.dim, self.kappa, self.share
        w = self.grid / math.sqrt(irrelevant * d)
        w[:, :2] *= math.sqrt(irrelevant / relevant)
        half = kappa**2 * n + w.square().sum(dim=1) / 2
        reward = gaussian_overlap(w, 2).square() / half

        def weights(r: float) -> tuple[torch.Tensor, float]:
            log = self.base - half.log() / 2 + r * r / (2 * kappa**2) * reward
            return torch.softmax(log, dim=0), float(torch.logsumexp(log, dim=0))

        r = brentq(lambda r: n * r * float(weights(r)[0] @ reward) - (1 - r), 0, 1, xtol=1e-12)
        p, log_z = weights(r)
        second = p @ self.grid.square()
        rho = (relevant,) * 2 + (irrelevant,) * (d - 2)
        # Back from x = ρ^½ w to w, and the hyper-prior with the normaliser of the prior.
        log_z -= sum(math.log(each) / 2 for each in rho)
        energy = (r - r * r / 2) / (n * kappa**2) - log_z
        energy += sum(a * each - (0.5 + a) * math.log(each) for each in rho)
        nexts = [
            (a + 0.5) / (a + 0.5 * moment / old)
            for moment, old in (
                (float(second[:2].mean()), relevant),
                (float(second[2]) / (d - 2), irrelevant),
            )
        ]
        return 1 - r, nexts[0], nexts[1], energy


@pytest.fixture(scope="module")
def folded():
    student = Student(dim=40, width=512)
    return student, branch(student, sparsity=2, draws=2048)


def test_three_solutions_solve_the_equations_and_two_attract(folded):
    student, ours = folded
    low, high = ours.folds()
    kappa = ours.coexistence()
    assert low.kappa < kappa < high.kappa
    found = ours.solutions(kappa)
    assert [each.kind for each in found] == ["unlearned", "watershed", "learned"]
    exact = Quadrature(student, kappa, 4 / 512)
    energies = []
    for each in found:
        x = math.log(each.ratio - 1)
        axis = np.log(ours.ratio - 1)
        irrelevant = float(np.interp(x, axis, ours.irrelevant))
        relevant = irrelevant / each.ratio
        m, *after, energy = exact.law(relevant, irrelevant)
        # An error of ρ is one of the second moments divided by 2a = 1/64.
        assert m == pytest.approx(each.m_S, rel=0.03)
        assert after == pytest.approx([relevant, irrelevant], rel=0.02)
        energies.append(energy)
        # Off the solution by a tenth in ρ_S: does the alternation come back?
        factors = []
        for factor in (0.9, 1.1):
            pair, before = (relevant * factor, irrelevant), math.log(factor)
            for _ in range(8):
                pair = exact.law(*pair)[1:3]
            factors.append(math.log(pair[0] / relevant) / before)
        if each.kind == "watershed":
            assert min(factors) > 1
        else:
            assert max(factors) < 1
    assert energies[1] > max(energies[0], energies[2])
    differences = np.diff([each.free_energy for each in found])
    assert np.diff(energies) == pytest.approx(differences, abs=0.01)
    assert energies[0] == pytest.approx(energies[2], abs=0.01)


def test_outside_the_folds_there_is_one_solution(folded):
    _, ours = folded
    low, high = ours.folds()
    (learned,) = ours.solutions(0.8 * low.kappa)
    assert learned.kind == "learned"
    assert learned.m_S > high.m_S
    (unlearned,) = ours.solutions(1.05 * high.kappa)
    assert unlearned.kind == "unlearned"
    assert unlearned.m_S < low.m_S
    assert ours.residual < 1e-6
    assert ours.ess.min() > 0.1


def test_aligned_neurons_are_not_forgotten_where_there_are_none_yet():
    """Draws without them would follow the bulk alone, to half of the noise."""
    student = Student(dim=40, width=512)
    ratios = 1 + np.geomspace(0.002, 0.2, 14)
    ours = branch(student, sparsity=4, ratios=ratios, draws=1024)
    plain = noise_of_overlap(student, sparsity=4, draws=1024).critical
    assert ours.kappa.min() == pytest.approx(plain, rel=0.05)


def test_only_combinations_of_scales_matter():
    """f does not change if σ_w grows and σ_a falls, nor if N^(2γ)/σ_a² is kept."""
    ratios = 1 + np.geomspace(5, 200, 5)
    options = {"sparsity": 2, "ratios": ratios, "draws": 512}
    first = branch(Student(dim=20, width=64), **options)
    for student in (
        Student(dim=20, width=64, weight_variance=4.0, readout_variance=0.25),
        Student(dim=20, width=64, gamma=1.0, readout_variance=64.0),
    ):
        other = branch(student, **options)
        assert other.m_S == pytest.approx(first.m_S, rel=1e-5)
        assert other.kappa == pytest.approx(first.kappa, rel=1e-5)
    # α₀ and M enter as α₀/M.
    other = branch(Student(dim=20, width=64), **options, alpha0=8.0, particles=128)
    assert other.kappa == pytest.approx(first.kappa, rel=1e-9)


def test_ard_particles_on_the_whole_cube_find_the_same_solution():
    """Collapsed particles with all 2^10 inputs as data, α₀/M as in the equation."""
    student, kappa, particles, share = Student(dim=10, width=20), 0.1, 200, 0.05
    cube = sign_cube(10)
    data = Dataset(cube, cube[:, :2].prod(dim=1))
    energy = CollapsedEnergy(
        student, data, kappa=kappa, chains=1, particles=particles, ard=Ard(share * particles)
    )
    random = torch.Generator().manual_seed(0)
    start = student.sample_prior(1, particles, random, readout=False, dtype=torch.float64)
    # The only solution, sooner: from the prior ρ takes three times as long to follow.
    student.views(start, 1, particles, readout=False)[0][..., :2] *= 3
    sampler, overlaps = Underdamped(0.3, friction=0.05), []
    state = sampler.init(energy, start, random)
    for measurement in range(110):
        sampler.advance(state, energy, 10, random, done=10 * measurement)
        if measurement >= 50:
            field = energy.forward.predict(energy.predictor_parameters(state.position))[0]
            overlaps.append(float(field @ data.labels) / len(data))
    mean = sum(overlaps) / len(overlaps)
    ours = branch(student, sparsity=2, alpha0=share, particles=1, draws=1024)
    (only,) = ours.solutions(kappa)
    plain = population.solve(student, sparsity=2, kappa=kappa, points=24).m_S
    # Eight irrelevant coordinates are few for the central limit theorem, 200 particles finite.
    assert abs(mean - only.m_S) < 0.03, (mean, only)
    assert only.m_S > plain + 0.1, "the test could not tell"


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"sparsity": 3}, "sparsity must be 1 or even"),
        ({"sparsity": 0}, "sparsity"),
        ({"sparsity": 8}, "sparsity"),
        ({"draws": 1000}, "draws must be a power of 2"),
        ({"draws": 128}, "draws"),
        ({"seed": -1}, "seed"),
        ({"student": Student(dim=9, width=5, activation="erf")}, "activation"),
        ({"student": Student(dim=9, width=5, hidden_bias_variance=1.0)}, "hidden_bias_variance"),
    ],
)
def test_bad_input_is_refused_by_name(options, name):
    arguments = {"student": Student(dim=9, width=5), "sparsity": 2, **options}
    student = arguments.pop("student")
    for function in (noise_of_overlap, branch):
        with pytest.raises(ArgumentError, match=name):
            function(student, **arguments)


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"alpha0": 0.0}, "alpha0"),
        ({"particles": 0}, "particles"),
        ({"ratios": [2.0, 3.0, 4.0]}, "ratios"),
        ({"ratios": [1.0, 2.0, 3.0, 4.0]}, "ratios"),
        ({"ratios": [2.0, 4.0, 3.0, 5.0]}, "ratios"),
    ],
)
def test_bad_input_of_ard_is_refused_by_name(options, name):
    with pytest.raises(ArgumentError, match=name):
        branch(Student(dim=9, width=5), sparsity=2, **options)


@pytest.mark.parametrize("m", [0.0, 1.0, -0.5, math.nan])
def test_an_overlap_that_no_noise_gives_is_refused(m):
    with pytest.raises(ArgumentError, match="m_S"):
        noise_of_overlap(Student(dim=9, width=5), sparsity=2, m_S=m)


def test_draws_that_do_not_cover_the_law_are_not_trusted():
    neuron = OneNeuron(35, 4, draws=256)
    neuron.start(1.0)
    neuron.mean = neuron.mean + np.append(np.full(4, 6.0), 2.0)
    neuron._draw()
    # Far beyond the start all neurons are aligned, and no draw is where they are.
    assert neuron.averages(2e4, 1.0).ess < 0.02
    with pytest.raises(ConvergenceError, match="effective sample size"):
        sufficient(neuron.averages(2e4, 1.0).ess, 256)
