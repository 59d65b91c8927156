"""A prior tilted towards the relevant coordinates, and networks released from it."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from feature_learning import (
    SparseParity,
    Student,
    configure,
    make_dataset,
    network_posterior,
    run_point,
)
from feature_learning.energies.release import FIRST_TILT, ReleasedEnergy
from feature_learning.errors import ArgumentError
from feature_learning.inference.sampling import sample, starting_position
from feature_learning.samplers.options import SamplingOptions
from feature_learning.samplers.registry import UnderdampedOptions
from feature_learning.sweeps.table import read_csv

STUDENT = Student(dim=6, width=20, weight_variance=1.5, tilt=3.0, tilted=2)


def data(n_train=15):
    return make_dataset(SparseParity(6, 2), n_train, seed=0)


def released(student=STUDENT, **options):
    return ReleasedEnergy(student, data(), relevant=2, kappa=0.1, chains=3, **options)


def test_a_tilt_multiplies_the_prior_variance_of_the_first_weights():
    w, a, _ = STUDENT.views(STUDENT.prior_variances(2, 20), 2, 20)
    torch.testing.assert_close(w[..., :2], torch.full((2, 20, 2), 3 * 1.5 / 6))
    torch.testing.assert_close(w[..., 2:], torch.full((2, 20, 4), 1.5 / 6))
    assert (a == 1).all()
    draws = STUDENT.sample_prior(200, 20, torch.Generator().manual_seed(0))
    variance = STUDENT.views(draws, 200, 20).w.square().mean(dim=(0, 1))
    assert float(variance[:2].mean() / variance[2:].mean()) == pytest.approx(3, rel=0.1)
    for bad in ({"tilt": 0.0}, {"tilt": math.nan}, {"tilted": 7}, {"tilted": -1}):
        with pytest.raises(ArgumentError, match=rf"^{next(iter(bad))} must be"):
            Student(dim=6, width=20, **bad)


def test_gradient_and_value_of_a_tilted_posterior():
    energy = network_posterior(
        STUDENT, make_dataset(SparseParity(6, 2), 9, seed=1, dtype=torch.float64), kappa=0.4
    )
    theta = STUDENT.sample_prior(1, 20, torch.Generator().manual_seed(0), dtype=torch.float64)
    leaf, out = theta.clone().requires_grad_(), torch.empty_like(theta)
    (expected,) = torch.autograd.grad(energy.potential(leaf).sum(), leaf)
    energy.gradient(theta, out)
    torch.testing.assert_close(out, expected)
    square = energy.views(theta).w.square().sum(dim=(0, 1))
    plain = network_posterior(Student(dim=6, width=20, weight_variance=1.5), energy.data, kappa=0.4)
    change = 0.5 * 6 / 1.5 * (1 / 3 - 1) * square[:2].sum()
    difference = (energy.value(theta) - plain.value(theta)) / energy.temperature
    torch.testing.assert_close(difference[0], change)


def test_the_tilt_is_lowered_to_that_of_the_student_and_stays():
    energy, plain = released(), network_posterior(STUDENT, data(), kappa=0.1, chains=3)
    energy.release_over(100)
    theta, seen = torch.zeros_like(plain.prior.spring_constant), []
    for _ in range(15):
        seen.append(float(energy.views(energy.prior.spring_constant).w[0, 0, 0]))
        energy.refresh(theta)
    tilts = [energy.temperature * 6 / 1.5 / each for each in seen]
    assert tilts[0] == pytest.approx(FIRST_TILT)
    assert tilts[5] == pytest.approx(math.sqrt(FIRST_TILT * 3))
    assert tilts[10:] == pytest.approx([3.0] * 5)
    torch.testing.assert_close(energy.prior.spring_constant, plain.prior.spring_constant)


def test_a_release_is_part_of_a_checkpoint():
    energy, other = released(), released()
    for each in (energy, other):
        each.release_over(100)
    for _ in range(4):
        energy.refresh(torch.zeros(0))
    other.load_state_dict(energy.state_dict())
    assert torch.equal(energy.prior.spring_constant, other.prior.spring_constant)
    other.refresh(torch.zeros(0))
    assert not torch.equal(energy.prior.spring_constant, other.prior.spring_constant)


def test_without_a_release_the_posterior_is_that_of_the_student():
    energy = released()
    energy.release_over(0)
    plain = network_posterior(STUDENT, data(), kappa=0.1, chains=3)
    torch.testing.assert_close(energy.prior.spring_constant, plain.prior.spring_constant)
    with pytest.raises(ArgumentError, match=r"^steps must be"):
        energy.release_over(-1)
    with pytest.raises(ArgumentError, match=r"^relevant must be"):
        ReleasedEnergy(STUDENT, data(), relevant=7, kappa=0.1)


def test_a_released_run_starts_tilted_and_is_released_in_half_of_burn_in():
    teacher, student, energy = SparseParity(6, 2), Student(dim=6, width=200), None
    energy = ReleasedEnergy(student, data(), relevant=2, kappa=0.1, chains=3)
    theta = starting_position(energy, student, teacher, start="released", seed=0)
    variance = energy.views(theta).w.square().mean(dim=(0, 1))
    assert float(variance[:2].mean() / variance[2:].mean()) == pytest.approx(FIRST_TILT, rel=0.2)
    sampling = SamplingOptions(
        UnderdampedOptions(step=0.1),
        langevin_time=20,
        burn_in=0.6,
        measurements=10,
        start="released",
    )
    test = make_dataset(teacher, 50, seed=0, stream="test")
    result, _ = sample(energy, student, teacher, test, sampling, seed=0)
    assert energy.over == 60
    assert float(energy.state_dict()["passed"]) == 60
    assert result.steps[-1] == 200


def test_a_released_point_stays_near_the_target_where_one_from_the_prior_is_far():
    options = {"dim": 20, "sparsity": 4, "width": 64, "n_train": 250, "kappa": 0.005, "chains": 2}
    options |= {"langevin_time": 200.0, "n_test": 500, "measurements": 20}
    found = {
        start: run_point(configure(start=start, **options)).row for start in ("prior", "released")
    }
    assert found["released"]["m_S"] > found["prior"]["m_S"] + 0.5
    assert found["released"]["relevant_variance"] > found["prior"]["relevant_variance"]
    assert found["prior"]["relevant_variance_sem"] > 0


def test_a_table_from_before_the_column_is_still_read():
    table = Path(__file__).parents[2] / "book/data/results/gamma.csv"
    frame = read_csv(table)
    if "relevant_variance" not in table.read_text(encoding="utf-8").splitlines()[0].split(","):
        assert frame["relevant_variance"].isna().all()
    assert (frame["tilt"] == 1.0).all()
