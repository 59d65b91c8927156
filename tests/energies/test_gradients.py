"""Analytic gradients against autograd, energies against their formulas, and symmetries."""

import math

import numpy as np
import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from feature_learning.energies.collapsed import CollapsedEnergy
from feature_learning.energies.particles import ParticleEnergy, mean_field_energy, network_posterior
from feature_learning.errors import ArgumentError
from feature_learning.model.activations import ACTIVATIONS
from feature_learning.model.priors import Ard
from feature_learning.model.student import Student
from feature_learning.model.teachers import Dataset, SingleIndex, SparseParity, make_dataset
from feature_learning.samplers import SGLD, Underdamped

DIM, WIDTH, SAMPLES, KAPPA = 4, 5, 11, 0.3
BIASES = [(None, None), (0.7, None), (None, 0.4), (0.7, 0.4)]
EXACT = {"rtol": 1e-10, "atol": 1e-12}


def problem(name="relu", hidden=None, output=None, **student):
    made = Student(
        dim=DIM,
        width=WIDTH,
        activation=name,
        weight_variance=1.3,
        readout_variance=0.8,
        hidden_bias_variance=hidden,
        output_bias_variance=output,
        **student,
    )
    return made, make_dataset(SingleIndex(DIM, 2, 2), SAMPLES, seed=0, dtype=torch.float64)


def start(energy, readout=True, seed=1):
    random = torch.Generator().manual_seed(seed)
    return energy.student.sample_prior(
        energy.chains, energy.particles, random, readout=readout, dtype=torch.float64
    )


def by_autograd(energy, theta):
    theta = theta.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(energy.potential(theta).sum(), theta)
    return gradient


def by_hand(energy, theta):
    # Twice into a dirty buffer: nothing may be added to what was there.
    out = torch.full_like(theta, math.nan)
    energy.gradient(theta, out)
    energy.gradient(theta, out)
    return out


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
@pytest.mark.parametrize(("hidden", "output"), BIASES)
@pytest.mark.parametrize("self_energy", [False, True])
def test_the_gradient_is_autograds(name, hidden, output, self_energy):
    student, data = problem(name, hidden, output)
    for chains in (1, 3):
        for tile_elements in (2**20, 3 * chains * WIDTH, 1):
            energy = ParticleEnergy(
                student,
                data,
                kappa=KAPPA,
                chains=chains,
                self_energy=self_energy,
                tile_elements=tile_elements,
            )
            theta = start(energy)
            torch.testing.assert_close(by_hand(energy, theta), by_autograd(energy, theta), **EXACT)


@pytest.mark.parametrize("particles", [2, WIDTH, 13])
@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("ard", [None, Ard(0.7)])
def test_the_mean_field_gradient_is_autograds_for_any_number_of_particles(particles, gamma, ard):
    student, data = problem(gamma=gamma, hidden=0.7)
    energy = mean_field_energy(
        student, data, kappa=KAPPA, chains=2, particles=particles, ard=ard, tile_elements=50
    )
    theta = start(energy)
    energy.refresh(theta)
    torch.testing.assert_close(by_hand(energy, theta), by_autograd(energy, theta), **EXACT)


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
@pytest.mark.parametrize("hidden", [None, 0.7])
@pytest.mark.parametrize("ard", [None, Ard(0.7)])
def test_the_collapsed_gradient_is_autograds(name, hidden, ard):
    student, data = problem(name, hidden)
    for chains, particles in ((1, WIDTH), (3, 3), (2, 14)):
        for tile_elements in (2**20, 3 * chains * particles):
            energy = CollapsedEnergy(
                student,
                data,
                kappa=KAPPA,
                chains=chains,
                particles=particles,
                ard=ard,
                tile_elements=tile_elements,
            )
            theta = start(energy, readout=False)
            energy.refresh(theta)
            # Away from the fixed point too: the field is frozen, whatever it is.
            theta = theta + 0.3
            torch.testing.assert_close(by_hand(energy, theta), by_autograd(energy, theta), **EXACT)


def plain_potential(energy, theta, *, particles, self_energy):
    """U = (M/N) L + Ω + T · prior of one chain, straight from the formulas, in NumPy."""
    student = energy.student
    w, a, c = (view[0].numpy() for view in energy.views(theta))
    x, y = energy.data.inputs.numpy(), energy.data.labels.numpy()
    z = x @ w[:, :DIM].T
    precision = np.full(w.shape, DIM / student.weight_variance)
    if student.hidden_bias_variance is not None:
        z = z + w[:, DIM]
        precision[:, DIM] = 1 / student.hidden_bias_variance
    phi = np.maximum(z, 0)
    width = student.width
    f = width ** (1 - student.gamma) / particles * (phi @ a) + c.sum()
    temperature = 2 * KAPPA**2
    prior = (precision * w**2).sum() / 2 + (a**2).sum() / (2 * student.readout_variance)
    if student.output_bias_variance is not None:
        prior += (c**2).sum() / (2 * student.output_bias_variance)
    value = particles / width * np.mean((f - y) ** 2) + temperature * prior
    if self_energy:
        value += width ** (-2 * student.gamma) * (a**2 @ (phi**2).mean(axis=0))
    return value


@pytest.mark.parametrize(("hidden", "output"), BIASES)
@pytest.mark.parametrize(
    ("particles", "self_energy"), [(WIDTH, False), (WIDTH, True), (3, True), (12, True)]
)
@pytest.mark.parametrize("gamma", [0.5, 1.0])
def test_the_potential_is_the_mean_squared_error_plus_twice_kappa_squared_times_the_prior(
    hidden, output, particles, self_energy, gamma
):
    student, data = problem(hidden=hidden, output=output, gamma=gamma)
    if output is not None and particles != WIDTH:
        with pytest.raises(ArgumentError, match="particles must equal width"):
            mean_field_energy(student, data, kappa=KAPPA, particles=particles)
        return
    energy = ParticleEnergy(
        student, data, kappa=KAPPA, particles=particles, self_energy=self_energy
    )
    theta = start(energy)
    expected = plain_potential(energy, theta, particles=particles, self_energy=self_energy)
    assert energy.temperature == 2 * KAPPA**2
    assert energy.potential(theta).item() == pytest.approx(expected, rel=1e-12)


def test_the_collapsed_potential_integrates_the_readouts_of_the_one_neuron_law():
    student, data = problem(gamma=0.8)
    energy = CollapsedEnergy(student, data, kappa=KAPPA, particles=1)
    theta = start(energy, readout=False)
    residual = torch.randn(1, SAMPLES, dtype=torch.float64, generator=torch.Generator())
    energy.residual.copy_(residual)
    a = np.linspace(-30, 30, 20_001)

    def log_density(theta):
        """Log ∫ da p(w, a), by the trapezoidal rule, from the law of theory."""
        w = theta.view(DIM).numpy()
        phi = np.maximum(data.inputs.numpy() @ w, 0)
        deviation = residual.numpy()[0] - WIDTH**-0.8 * a[:, None] * phi
        exponent = -(a**2) / (2 * student.readout_variance)
        exponent -= (deviation**2).sum(axis=1) / (2 * KAPPA**2 * SAMPLES)
        top = exponent.max()
        integral = np.log(np.trapezoid(np.exp(exponent - top), a)) + top
        return integral - DIM * (w**2).sum() / (2 * student.weight_variance)

    other = theta + 0.4
    difference = (energy.potential(other) - energy.potential(theta)).item()
    expected = -energy.temperature * (log_density(other) - log_density(theta))
    assert difference == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("particles", [4, SAMPLES, 30])
@pytest.mark.parametrize("hidden", [None, 0.7])
def test_the_collapsed_field_solves_its_linear_system(particles, hidden):
    student, data = problem(hidden=hidden, gamma=0.8)
    energy = CollapsedEnergy(student, data, kappa=KAPPA, chains=2, particles=particles)
    theta = start(energy, readout=False)
    energy.refresh(theta)
    noise, scale = KAPPA**2 * SAMPLES, WIDTH**-0.8
    for chain in range(2):
        phi = energy.forward.features(energy.predictor_parameters(theta).w)[chain].numpy()
        a = 1 / student.readout_variance + (phi**2).sum(axis=1) * scale**2 / noise
        g = WIDTH * scale**2 / (particles * noise) * phi.T @ np.diag(1 / a) @ phi
        residual = np.linalg.solve(np.eye(SAMPLES) + g, data.labels.numpy())
        np.testing.assert_allclose(energy.residual[chain].numpy(), residual, rtol=1e-10)
        # and the mean readouts are B/A in that residual: self-consistent.
        mean = phi @ residual * scale / noise / a
        np.testing.assert_allclose(
            energy.predictor_parameters(theta).a[chain].numpy(), mean, rtol=1e-9
        )


def test_ard_gives_a_coordinate_with_larger_weights_a_weaker_prior():
    student, data = problem(hidden=0.7)
    energy = mean_field_energy(
        student, data, kappa=KAPPA, chains=2, particles=6, ard=Ard(1.5, smoothing=0.25)
    )
    assert torch.allclose(energy.prior.precision, torch.tensor(DIM / 1.3, dtype=torch.float64))
    theta = start(energy)
    w = energy.views(theta).w
    w[0, :, 1] *= 3
    energy.refresh(theta)
    for chain in range(2):
        for j in range(DIM):
            target = (1.5 + 6 / 2) / (1.5 * 1.3 / DIM + 0.5 * (w[chain, :, j] ** 2).sum().item())
            expected = 0.75 * DIM / 1.3 + 0.25 * target
            assert energy.prior.precision[chain, 0, j].item() == pytest.approx(expected)
    spring_constant = energy.views(energy.prior.spring_constant)
    assert torch.allclose(
        spring_constant.w[..., :DIM], energy.temperature * energy.prior.precision.expand(2, 6, DIM)
    )
    # The bias and the readouts keep their own prior.
    assert torch.allclose(
        spring_constant.w[..., DIM], torch.tensor(energy.temperature / 0.7, dtype=torch.float64)
    )
    assert torch.allclose(
        spring_constant.a, torch.tensor(energy.temperature / 0.8, dtype=torch.float64)
    )


@pytest.mark.parametrize("make", [mean_field_energy, CollapsedEnergy])
def test_an_energy_put_back_is_the_energy_that_was_stored(make):
    student, data = problem()
    common = {"kappa": KAPPA, "chains": 2, "particles": 6, "ard": Ard(0.7)}
    used, fresh = make(student, data, **common), make(student, data, **common)
    theta = start(used, readout=make is mean_field_energy)
    used.refresh(theta)
    used.refresh(theta + 0.2)
    fresh.load_state_dict({name: tensor.clone() for name, tensor in used.state_dict().items()})
    assert torch.equal(by_hand(fresh, theta), by_hand(used, theta))
    # and follows the particles in the same way afterwards
    for energy in (used, fresh):
        energy.refresh(theta)
    assert torch.equal(by_hand(fresh, theta), by_hand(used, theta))


@pytest.mark.parametrize("name", ["relu", "tanh"])
@pytest.mark.parametrize("self_energy", [False, True])
def test_a_step_allocates_nothing_of_the_size_of_the_activations(name, self_energy):
    student = Student(
        dim=8, width=64, activation=name, hidden_bias_variance=1.0, output_bias_variance=1.0
    )
    data = make_dataset(SparseParity(8, 2), 2000, seed=0)
    energy = ParticleEnergy(student, data, kappa=KAPPA, chains=2, self_energy=self_energy)
    random = torch.Generator().manual_seed(0)
    position = student.sample_prior(2, 64, random)
    samplers = (SGLD(1e-3), Underdamped(1e-3))
    states = [sampler.init(energy, position, random) for sampler in samplers]
    for sampler, state in zip(samplers, states, strict=True):
        sampler.advance(state, energy, 1, random, done=0)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        for sampler, state in zip(samplers, states, strict=True):
            sampler.advance(state, energy, 3, random, done=1)
    allocated = [event.self_cpu_memory_usage for event in seen.events()]
    # Parameters are 2·64·(8+2) numbers, one buffer of activations is 100 times as many.
    assert max(allocated) <= position.numel() * position.element_size()
    assert len(seen.events()) > 20  # the profiler did look


def energies(student, data):
    common = {"kappa": KAPPA, "chains": 2}
    yield network_posterior(student, data, **common), True
    yield mean_field_energy(student, data, ard=Ard(0.5), **common), True
    if student.output_bias_variance is None:
        yield CollapsedEnergy(student, data, ard=Ard(0.5), **common), False


def value_and_gradient(energy, theta):
    energy.refresh(theta)
    return energy.potential(theta), by_hand(energy, theta)


def views(energy, theta, readout):
    return energy.student.views(theta, energy.chains, energy.particles, readout=readout)


@pytest.mark.parametrize("output", [None, 0.4])
def test_neurons_are_exchangeable(output):
    student, data = problem("tanh", 0.7, output)
    order = torch.tensor([3, 0, 4, 1, 2])
    for energy, readout in energies(student, data):
        theta = start(energy, readout)
        moved = theta.clone()
        for here, there in zip(
            views(energy, moved, readout)[:2], views(energy, theta, readout)[:2], strict=True
        ):
            if there.numel():
                here.copy_(there[:, order])
        value, gradient = value_and_gradient(energy, theta)
        for fresh, again in energies(student, data):
            if type(fresh) is type(energy) and bool(fresh.ard) == bool(energy.ard):
                other, moved_gradient = value_and_gradient(fresh, moved)
                assert again == readout
        torch.testing.assert_close(other, value, **EXACT)
        expected = views(energy, gradient, readout)
        found = views(energy, moved_gradient, readout)
        torch.testing.assert_close(found.w, expected.w[:, order], **EXACT)
        if readout:
            torch.testing.assert_close(found.a, expected.a[:, order], **EXACT)
            torch.testing.assert_close(found.c, expected.c, **EXACT)


def transformed(kind, flip_one=False):
    """An energy, its start, and the same after a symmetry of inputs, labels and parameters."""
    teacher = SparseParity(6, 3)
    inputs = make_dataset(teacher, 40, seed=2, dtype=torch.float64).inputs
    order, signs = torch.arange(6), torch.ones(6, dtype=torch.float64)
    if kind == "permute irrelevant":
        order = torch.tensor([0, 1, 2, 5, 3, 4])
    else:
        signs[1] = -1
        if not flip_one:
            signs[2] = -1
    changed = (inputs * signs)[:, order]
    labels = teacher.target(inputs)
    new_labels = teacher.target(changed)
    expected = -labels if flip_one else labels
    assert torch.equal(new_labels, expected)
    student = Student(dim=6, width=5, hidden_bias_variance=0.5)
    pairs = zip(
        energies(student, Dataset(inputs, labels)),
        energies(student, Dataset(changed, new_labels)),
        strict=True,
    )
    for (energy, readout), (other, _) in pairs:
        theta = start(energy, readout)
        moved = theta.clone()
        w, a, _ = views(energy, moved, readout)
        w[..., :6] = (w[..., :6] * signs)[..., order]
        if flip_one:
            a.neg_()
        yield energy, theta, other, moved, readout, order, signs


@pytest.mark.parametrize(
    ("kind", "flip_one"),
    [("permute irrelevant", False), ("flip two of S", False), ("flip one of S", True)],
)
def test_symmetries_of_the_parity_are_symmetries_of_the_energy(kind, flip_one):
    for energy, theta, other, moved, readout, order, signs in transformed(kind, flip_one):
        value, gradient = value_and_gradient(energy, theta)
        new_value, new_gradient = value_and_gradient(other, moved)
        torch.testing.assert_close(new_value, value, **EXACT)
        expected, found = (views(energy, each, readout) for each in (gradient, new_gradient))
        torch.testing.assert_close(
            found.w[..., :6], (expected.w[..., :6] * signs)[..., order], **EXACT
        )
        torch.testing.assert_close(found.w[..., 6], expected.w[..., 6], **EXACT)
        torch.testing.assert_close(found.a, -expected.a if flip_one else expected.a, **EXACT)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kappa": 0.0}, "^kappa must be"),
        ({"kappa": -1.0}, "^kappa must be"),
        ({"kappa": math.nan}, "^kappa must be"),
        ({"kappa": math.inf}, "^kappa must be"),
        ({"kappa": 1.0, "chains": 0}, "^chains must be"),
        ({"kappa": 1.0, "particles": 0}, "^particles must be"),
        ({"kappa": 1.0, "particles": 1.5}, "^particles must be"),
    ],
)
@pytest.mark.parametrize("make", [mean_field_energy, CollapsedEnergy])
def test_an_energy_out_of_range_is_refused_by_name(make, options, message):
    student, data = problem()
    with pytest.raises(ArgumentError, match=message):
        make(student, data, **options)


def test_a_network_has_as_many_particles_as_neurons():
    student, data = problem()
    with pytest.raises(ArgumentError, match="particles must equal width = 5"):
        ParticleEnergy(student, data, kappa=1.0, particles=6)


def test_the_collapsed_mean_field_refuses_an_output_bias():
    student, data = problem(output=0.4)
    with pytest.raises(ArgumentError, match="output_bias_variance must be None"):
        CollapsedEnergy(student, data, kappa=1.0)


@pytest.mark.parametrize(
    ("options", "name"),
    [({"alpha0": 0.0}, "alpha0"), ({"smoothing": 1.5}, "smoothing"), ({"every": 0}, "every")],
)
def test_ard_out_of_range_is_refused_by_name(options, name):
    with pytest.raises(ArgumentError, match=f"^{name} must be"):
        Ard(**options)
