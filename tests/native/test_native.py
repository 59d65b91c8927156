"""The compiled kernel against torch: the same numbers for all sizes and thread counts."""

import platform
import shutil
import threading

import pytest
import torch
from compiled import needs_compiled
from hypothesis import given
from hypothesis import strategies as st

from feature_learning import native
from feature_learning.energies.minibatch import MiniBatchEnergy
from feature_learning.energies.particles import mean_field_energy, network_posterior
from feature_learning.model.forward import Forward
from feature_learning.model.parameters import Parameters
from feature_learning.model.student import Student
from feature_learning.model.teachers import Dataset
from feature_learning.native import relu
from feature_learning.native.library import load


def test_the_kernel_is_there_where_a_compiler_and_a_known_processor_are():
    compiler = shutil.which("cc") or shutil.which("gcc")
    known = platform.machine() in ("x86_64", "AMD64", "aarch64", "arm64")
    if compiler and known and platform.system() == "Linux":
        assert native.instructions() in ("AVX-512", "AVX2", "NEON"), "run `make env` to build it"


def a_problem(n_train, chains, particles, dim, *, bias=False, signs=False):
    """Random data and parameters on a grid of sixteenths: sums of products are exact.

    So a pre-activation of 0 is one in both ways; just beside it a gate may open in one of them
    only. With ``signs`` the inputs are ±1.
    """
    random = torch.Generator().manual_seed(n_train + 1000 * particles)
    student = Student(dim=dim, width=particles, output_bias_variance=1.0 if bias else None)

    def sixteenths(*shape):
        return torch.randint(-20, 21, shape, generator=random).float() / 16

    inputs = sixteenths(n_train, dim)
    if signs:
        inputs = torch.where(inputs > 0, 1.0, -1.0)
    data = Dataset(inputs, sixteenths(n_train))
    flat = sixteenths(student.size(chains, particles))
    return student, data, student.views(flat, chains, particles)


def sums(field, parameters, coupling, bias):
    w, a, _ = parameters
    grad_w, readout = torch.empty_like(w), torch.empty_like(a)
    total = a.new_empty(a.shape[0], 1) if bias else None
    field.accumulate_gradients(
        parameters,
        scale_factor=0.25,
        grad_w=grad_w,
        grad_a=readout,
        coupling=coupling,
        bias=total,
    )
    return [grad_w, readout, *([] if total is None else [total])]


@needs_compiled
@given(
    n_train=st.one_of(
        st.integers(1, 300), st.sampled_from([95, 96, 97, 192, 193, 256, 257, 1024, 1025])
    ),
    chains=st.integers(1, 3),
    particles=st.one_of(st.integers(1, 70), st.sampled_from([512])),
    dim=st.integers(1, 40),
    coupled=st.booleans(),
    bias=st.booleans(),
    signs=st.booleans(),
    threads=st.sampled_from([1, 2, 3]),
)
def test_kernel_and_torch_give_the_same_field_and_gradient(
    n_train, chains, particles, dim, coupled, bias, signs, threads
):
    student, data, parameters = a_problem(n_train, chains, particles, dim, bias=bias, signs=signs)
    field = Forward(
        student,
        data,
        chains=chains,
        particles=particles,
        scale=student.scale,
        coupled=coupled,
    )
    coupling = parameters.a * 0.25 if coupled else None
    assert field.kernel is not None
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with field.stepping():
            assert torch.get_num_threads() == 1
            compiled = [field.predict(parameters), *sums(field, parameters, coupling, bias)]
        assert torch.get_num_threads() == threads
        field.kernel = None
        plain = [field.predict(parameters), *sums(field, parameters, coupling, bias)]
    finally:
        torch.set_num_threads(before)
    for mine, theirs in zip(compiled, plain, strict=True):
        size = max(1.0, float(theirs.abs().max()))
        # Rounding of single precision: it grows with the number of terms.
        atol = 3e-6 * max(1.0, n_train / 300)
        torch.testing.assert_close(mine / size, theirs / size, rtol=0, atol=atol)


@needs_compiled
def test_inputs_of_plus_and_minus_one_are_taken_from_tables():
    for signs, n_train, expected in ((True, 64, True), (True, 63, False), (False, 64, False)):
        student, data, _ = a_problem(n_train, 1, 4, 7, signs=signs)
        field = Forward(student, data, chains=1, particles=4, scale=1.0)
        assert field.kernel.coded == expected
    student, data, _ = a_problem(100, 1, 4, 7, signs=True)
    data.inputs[99, 6] = 0.0  # one input that is neither: none is coded
    assert not Forward(student, data, chains=1, particles=4, scale=1.0).kernel.coded


@needs_compiled
@pytest.mark.parametrize("signs", [False, True])
def test_large_problems_are_shared_between_threads_and_the_sums_stay_the_same(signs):
    student, data, parameters = a_problem(2000, 3, 512, 35, bias=True, signs=signs)
    field = Forward(student, data, chains=3, particles=512, scale=student.scale)
    results, before = [], torch.get_num_threads()
    try:
        for threads in (1, 2, 3, 1):
            torch.set_num_threads(threads)
            results.append(sums(field, parameters, None, True))
    finally:
        torch.set_num_threads(before)
    for other in results[1:]:
        for mine, theirs in zip(results[0], other, strict=True):
            size = float(theirs.abs().max())
            torch.testing.assert_close(mine / size, theirs / size, rtol=0, atol=3e-6)
    # With the same number of threads it is the same number, bit for bit: runs can be resumed.
    for mine, theirs in zip(results[0], results[3], strict=True):
        assert torch.equal(mine, theirs)


@needs_compiled
def test_samples_are_cut_between_threads_at_the_blocks_of_the_compiled_code():
    """Work space grows with the samples up to a block, and no further."""
    sizes = [load().relu_work(relu._BLOCK + more, 7, 16, 0) for more in (-1, 0, 1)]
    assert sizes[0] < sizes[1] == sizes[2]


@needs_compiled
def test_every_kernel_of_an_energy_uses_the_threads_that_are_left_to_it():
    student, data, _ = a_problem(600, 1, 512, 35)
    full = network_posterior(student, data, kappa=0.1)
    batches = MiniBatchEnergy(full, 300)
    theta = student.sample_prior(1, 512, torch.Generator().manual_seed(0))
    out, before = torch.empty_like(theta), torch.get_num_threads()
    batches.estimate_from(theta, out, [0])  # the block now has its kernel
    (_, block), *_ = batches._holders.values()
    used = {}
    for field in (full.forward, block):
        used[field], run = set(), field.kernel._run

        def watched(*arguments, seen=used[field], run=run):
            seen.add(threading.get_ident())
            run(*arguments)

        field.kernel._run = watched
    torch.set_num_threads(2)
    try:
        with batches.forward.stepping(), batches.forward.stepping():
            batches.gradient(theta, out)
            batches.estimate_from(theta, out, [0])
    finally:
        assert torch.get_num_threads() == 2
        torch.set_num_threads(before)
    assert {len(threads) for threads in used.values()} == {2}


@needs_compiled
@pytest.mark.parametrize("energy", [network_posterior, mean_field_energy])
def test_the_energies_of_a_float32_relu_network_use_the_kernel(energy):
    student, data, _ = a_problem(10, 2, 8, 5)
    built = energy(student, data, kappa=0.1, chains=2)
    assert built.forward.kernel is not None
    theta = student.sample_prior(2, 8, torch.Generator().manual_seed(0))
    compiled, plain = torch.empty_like(theta), torch.empty_like(theta)
    built.gradient(theta, compiled)
    built.forward.kernel = None
    built.gradient(theta, plain)
    torch.testing.assert_close(compiled, plain, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("name", "dtype"), [("tanh", torch.float32), ("relu", torch.float64)])
def test_what_the_kernel_does_not_know_is_left_to_torch(name, dtype):
    data = Dataset(torch.zeros(3, 2, dtype=dtype), torch.zeros(3, dtype=dtype))
    student = Student(dim=2, width=4, activation=name)
    assert Forward(student, data, chains=1, particles=4, scale=1.0).kernel is None


@needs_compiled
def test_parameters_in_another_layout_are_left_to_torch():
    student, data, (w, a, c) = a_problem(50, 2, 9, 6)
    field = Forward(student, data, chains=2, particles=9, scale=student.scale)
    elsewhere = Parameters(w.contiguous(), a, c)
    torch.testing.assert_close(field.predict(elsewhere), field.predict(Parameters(w, a, c)))
    mine = sums(field, elsewhere, None, False)
    for one, other in zip(mine, sums(field, Parameters(w, a, c), None, False), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)
    readout = torch.empty(*a.shape, 2)[..., 0]  # of a row each second number
    out = {"scale_factor": 0.25, "grad_w": torch.empty_like(w), "grad_a": readout}
    field.accumulate_gradients(Parameters(w, a, c), **out)
    torch.testing.assert_close(readout, mine[1], rtol=1e-5, atol=1e-5)
