"""Evidence by populations: against an integral, and against thermodynamic integration."""

import math
from contextlib import nullcontext
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.special import logsumexp

from feature_learning import Gibbs, SparseParity, Student, make_dataset, network_posterior
from feature_learning.energies.tether import Tether
from feature_learning.errors import ArgumentError, CheckpointError
from feature_learning.evidence import populations as evidence
from feature_learning.evidence import work as evidence_work
from feature_learning.evidence.annealing import Population, anneal, combined
from feature_learning.evidence.cooling import Cooling, Release
from feature_learning.evidence.integration import integrate
from feature_learning.evidence.populations import arrangements, run
from feature_learning.model.teachers import Dataset
from feature_learning.theory.free_energy import log_evidence, prior_loss


def two_sides():
    """Two neurons in one dimension, one of which has to serve each of two data."""
    inputs = torch.tensor([[1.3], [-1.3]], dtype=torch.float64)
    return Student(dim=1, width=2), Dataset(inputs, torch.tensor([0.8, -0.7], dtype=torch.float64))


def one_side(label, kappa):
    """log of the evidence of a datum and one neuron with the right sign, by summation."""
    axis = np.linspace(0.0025, 9, 1800)
    w, a = np.meshgrid(axis, np.concatenate([-axis[::-1], axis]), indexing="ij")
    f = math.sqrt(0.5) * a * 1.3 * w
    logs = -(w**2) / 2 - a**2 / 2 - (f - label) ** 2 / (2 * kappa**2 * 2)
    return logsumexp(logs) + 2 * math.log(0.005) - math.log(2 * math.pi)


def shorter(monkeypatch, *, nodes, measurements):
    """Integrals of a small problem, whose ways are short."""
    monkeypatch.setattr(
        evidence_work, "integrate", partial(integrate, nodes=nodes, measurements=measurements)
    )


@pytest.mark.parametrize(
    ("nodes", "populations", "members"), [(None, 24, 128), (12, 8, 16)], ids=["resampled", "nodes"]
)
def test_two_neurons_with_two_roles_have_the_evidence_of_the_integral(
    monkeypatch, nodes, populations, members
):
    student, data = two_sides()
    shorter(monkeypatch, nodes=nodes, measurements=12)
    kappa = 0.1
    exact = one_side(0.8, kappa) + one_side(-0.7, kappa) + math.log(2)
    found = run(
        student,
        data,
        [[1], [-1]],
        kappa=kappa,
        populations=populations,
        members=members,
        steps=60,
        share=0.8,
        langevin_time=3000,
        integral=nodes is not None,
        random=torch.Generator().manual_seed(1),
    )
    assert found.sem < 0.05
    assert abs(found.log_evidence - exact) < 4 * found.sem
    assert np.mean(found.staying) > 0.9
    assert [len(each) for each in found.positions] == [2 * members * 2] * populations


def test_the_evidence_of_a_small_network_is_that_of_thermodynamic_integration():
    student = Student(dim=4, width=6)
    data = make_dataset(SparseParity(4, 2), 8, seed=2, dtype=torch.float64)
    kappas, chains = np.geomspace(10, 0.2, 14), 400
    losses, errors = [], []
    random = torch.Generator().manual_seed(4)
    position = student.sample_prior(chains, 6, random, dtype=torch.float64)
    for kappa in kappas:
        energy = network_posterior(student, data, kappa=kappa, chains=chains)
        sampler = Gibbs(0.3 / math.sqrt(1 + 2 * kappa**2 * 4), every=8, friction=1 + kappa)
        state = sampler.init(energy, position, random)
        seen = []
        for measurement in range(60):
            sampler.advance(state, energy, 8, random, done=8 * measurement)
            if measurement >= 20:
                seen.append(energy.loss(state.position).numpy())
        position = state.position.clone()
        by_chain = np.mean(seen, axis=0)
        losses.append(by_chain.mean())
        errors.append(by_chain.std(ddof=1) / math.sqrt(chains))
    integral = log_evidence(kappas, losses, errors, prior=prior_loss(student))
    found = run(
        student,
        data,
        np.empty((0, 2)),
        kappa=0.2,
        populations=8,
        members=128,
        random=torch.Generator().manual_seed(5),
    )
    tolerance = 4 * math.hypot(found.sem, integral.sem) + integral.discretisation
    assert tolerance < 0.3
    assert abs(found.log_evidence - integral.value) < tolerance


def test_neurons_that_share_a_pattern_share_their_arrangements():
    assert arrangements([[1, -1]], 5) == pytest.approx(math.log(5))
    assert arrangements([[1, -1], [-1, -1]], 5) == pytest.approx(math.log(20))
    assert arrangements([[1, -1], [1, -1], [1, 1]], 5) == pytest.approx(math.log(60 / 2))
    assert arrangements(np.empty((0, 3)), 5) == 0


@pytest.mark.parametrize("patterns", [[1, -1], [[1, 0]], [[0.5]], np.empty((0, 0)), [[math.nan]]])
def test_what_is_no_signs_is_refused(patterns):
    with pytest.raises(ArgumentError, match="signs must be"):
        arrangements(patterns, 5)


def test_more_roles_than_neurons_are_refused():
    with pytest.raises(ArgumentError, match="width must be a whole number of at least 3"):
        arrangements([[1], [1], [-1]], 2)


def test_a_code_that_does_not_hold_is_refused():
    student, data = two_sides()
    with pytest.raises(ArgumentError, match=r"code \+ - does not hold at kappa = 3"):
        run(student, data, [[1], [-1]], kappa=3.0, random=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"kappa": 0.0}, "kappa"),
        ({"populations": 0}, "populations"),
        ({"members": 1}, "members"),
        ({"steps": 0}, "steps"),
        ({"share": 1.0}, "share"),
        ({"langevin_time": 0.0}, "langevin_time"),
    ],
)
def test_numbers_out_of_range_are_refused_by_name(options, words):
    student, data = two_sides()
    with pytest.raises(ArgumentError, match=f"^{words} must be"):
        run(
            student,
            data,
            np.empty((0, 1)),
            **{"kappa": 1.0, **options},
            random=torch.Generator().manual_seed(1),
        )


def test_a_student_with_output_bias_is_refused():
    _, data = two_sides()
    student = Student(dim=1, width=2, output_bias_variance=1.0)
    with pytest.raises(ArgumentError, match="without output bias"):
        run(student, data, np.empty((0, 1)), kappa=1.0, random=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("integral", [False, True])
def test_an_interrupted_run_goes_on_as_if_nothing_had_been(tmp_path, monkeypatch, integral):
    """Broken off after every single step, in all three stages."""
    student, data = two_sides()
    shorter(monkeypatch, nodes=4, measurements=5)
    options = {"kappa": 0.1, "populations": 2, "members": 16, "steps": 4, "langevin_time": 300.0}
    options["integral"] = integral
    whole = run(student, data, [[1], [-1]], **options, random=torch.Generator().manual_seed(2))
    path, calls = tmp_path / "run.npz", 0

    class Stopped:
        """An interrupt that is heard after one step."""

        def __enter__(self):
            self.asked = 0
            return self

        def __exit__(self, *_):
            pass

        def __bool__(self):
            self.asked += 1
            return self.asked > 1

    monkeypatch.setattr(evidence, "deferred_interrupt", Stopped)
    while True:
        calls += 1
        parts = run(
            student,
            data,
            [[1], [-1]],
            **options,
            random=torch.Generator().manual_seed(2),
            checkpoint=path,
        )
        if not parts.interrupted:
            break
        assert len(parts.populations) <= 1
    assert calls > 60
    assert parts.populations.tolist() == whole.populations.tolist()
    for mine, other in zip(parts.positions, whole.positions, strict=True):
        torch.testing.assert_close(mine, other, rtol=0, atol=0)
    again = run(student, data, [[1], [-1]], **options, random=torch.Generator(), checkpoint=path)
    assert again.log_evidence == whole.log_evidence


def test_a_checkpoint_that_does_not_fit_is_refused(tmp_path):
    student, data = two_sides()

    def kept(members):
        options = {"kappa": 0.3, "populations": 1, "steps": 2, "members": members}
        random, path = torch.Generator().manual_seed(1), tmp_path / "run.npz"
        run(student, data, np.empty((0, 1)), **options, random=random, checkpoint=path)

    kept(4)
    with pytest.raises(CheckpointError, match=r"does not fit this run .*position"):
        kept(8)


def test_nothing_is_made_up_before_the_first_population(monkeypatch):
    student, data = two_sides()
    monkeypatch.setattr(evidence, "deferred_interrupt", lambda: nullcontext(True))
    found = run(student, data, np.empty((0, 1)), kappa=0.3, random=torch.Generator().manual_seed(1))
    assert found.interrupted
    assert math.isnan(found.log_evidence)
    assert not len(found.populations)


def test_members_that_leave_the_code_do_not_count():
    """Held so loosely that the two neurons change their roles, the evidence stays that of one."""
    student, data = two_sides()
    exact = one_side(0.8, 0.1) + one_side(-0.7, 0.1) + math.log(2)
    tether = Tether([[1.0], [-1.0]], [[0.5], [0.5]])
    random = torch.Generator().manual_seed(3)
    options = {"kappa": 0.1, "members": 256, "steps": 60, "tether": tether}
    populations = []
    for _ in range(24):
        path = Cooling(student, data, **options)
        population = Population.of(path.start(random), 256)
        anneal(population, path, share=0.8, random=random)
        anneal(population, Release(student, data, **options), share=0.8, random=random)
        populations.append(population)
    work = SimpleNamespace(
        student=student,
        members=256,
        signs=np.array([[1.0], [-1.0]]),
        finished=populations,
        populations=24,
        integral=False,
    )
    found = evidence._evidence(work, math.log(2))
    share = np.mean(found.staying)
    assert 0.3 < share < 0.95
    assert abs(found.log_evidence - exact) < 4 * found.sem < 0.5
    # Counting all would say more.
    everything, sem, _ = combined([each.log_evidence for each in populations])
    assert everything + math.log(2) - exact > 4 * sem


def test_integrals_are_averaged_as_they_are():
    """Not as log of the mean of Ẑ, in which the largest would count most."""
    student, data = two_sides()
    found = run(
        student,
        data,
        np.empty((0, 1)),
        kappa=3.0,
        populations=3,
        members=4,
        steps=2,
        integral=True,
        random=torch.Generator().manual_seed(1),
    )
    assert found.log_evidence == pytest.approx(found.populations.mean(), rel=1e-12)
    assert found.sem == pytest.approx(found.populations.std(ddof=1) / math.sqrt(3), rel=1e-9)
    assert found.surviving.tolist() == [4, 4, 4]


@pytest.mark.parametrize(
    ("options", "words"),
    [({"nodes": 1}, "^nodes must be"), ({"measurements": 3}, "^measurements must be")],
)
def test_too_few_nodes_or_measurements_are_refused(options, words):
    student, data = two_sides()
    path = Cooling(student, data, kappa=1.0, members=2)
    random = torch.Generator().manual_seed(1)
    with pytest.raises(ArgumentError, match=words):
        integrate(Population.of(path.start(random), 2), path, random=random, **options)
