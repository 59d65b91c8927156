"""What a point will cost, before it is computed: an estimate good enough to order and to plan.

A sampled point takes ``steps (a + b networks neurons samples fan_in)`` seconds, with a and b from a
very short measurement on this machine, and its looks take a third of a step over the test points.
The NNGP and the collapsed mean field solve linear systems, at the speed of a matrix product.
Runs with a stopping rule are counted to their end: they can only be shorter.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

import torch

from feature_learning.energies.base import Energy
from feature_learning.energies.particles import network_posterior
from feature_learning.errors import FeatureLearningError
from feature_learning.evidence.integration import LOOKS, NODES
from feature_learning.experiments.config import PointConfig
from feature_learning.experiments.hardware import check_memory
from feature_learning.experiments.paper import PROTOCOLS
from feature_learning.inference import mean_field
from feature_learning.inference.sampling import starting_position
from feature_learning.inference.stopwatch import Stopwatch
from feature_learning.model.priors import Ard
from feature_learning.randomness import generator
from feature_learning.samplers.exchange import SWAP_EVERY
from feature_learning.samplers.underdamped import Underdamped

#: Samples at which a default step size is estimated: the curvature hardly depends on more.
_PROBE_SAMPLES = 300
#: What the arc cosine and the root of a kernel entry cost, in multiplications.
_KERNEL_ENTRY = 500
#: Looks of an integral, on both ways.
INTEGRAL_LOOKS = 2 * NODES * LOOKS
#: Noises of a population on its way to the paper's.
_NOISES = 80
#: Of its limit, the length at which a run that grows is mostly settled.
_GROWN = 0.2
#: Refreshes of the collapsed field: one in so many steps.
_REFRESH_EVERY = 5


@dataclass(frozen=True)
class Speed:
    """How fast this machine is with one thread.

    Attributes
    ----------
    step : float
        Seconds of a step of a tiny problem, a.
    element : float
        Seconds per chain, neuron, sample and input of a step, b, in single precision.
    sign : float
        The same for inputs of ±1, which the compiled kernel takes from tables.
    operation : float
        Seconds per multiplication and addition of a large matrix product in double precision.
    """

    step: float
    element: float
    sign: float
    operation: float

    def seconds(self, config: PointConfig) -> float:
        """CPU seconds of a point, estimated."""
        rows, test = config.samples, config.test_samples
        if config.method == "nngp":
            test = 50_000 if config.nngp_variant == "as-published" else test
            kernel = rows * (rows + test) * (config.dim + _KERNEL_ENTRY)
            return self.operation * (rows**3 / 6 + kernel)
        neurons = config.particles or config.width
        precision = 2 if config.dtype == "float64" else 1
        tables = config.teacher == "parity" and config.activation == "relu" and precision == 1
        element = self.sign if tables else self.element
        unit = element * precision * config.networks * neurons * config.dim
        # A round of swaps is a gradient and a field more.
        steps = estimated_steps(config) * (1 + (1.4 / SWAP_EVERY if config.rungs > 1 else 0))
        # A look measures on the test points; eight times a run the curvature takes 24 gradients.
        total = steps * (self.step + unit * rows) + config.looks * unit * test / 3
        total += 8 * 24 * (self.step + unit * rows)
        if config.collapsed:
            side = min(rows, neurons)
            system = config.chains * side**2 * (side / 6 + max(rows, neurons))
            total += steps / _REFRESH_EVERY * system * self.operation
        return total


def calibrate() -> Speed:
    """Measure this machine for about a second, with one CPU thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        # In double precision a matrix product is limited by arithmetic, as a factorisation is.
        matrix = torch.ones(500, 500, dtype=torch.float64)
        product = _fastest(lambda: torch.mm(matrix, matrix))
        small = _step_seconds(PointConfig(dim=8, sparsity=2, width=8, samples=8, chains=1), 100)
        config = PointConfig(dim=32, width=256, samples=512, chains=1)
        signs = _step_seconds(config, 10)
        others = _step_seconds(replace(config, teacher="single-index"), 10)
        elements = config.width * config.samples * config.dim
        element, sign = (max(step - small, 0.0) / elements for step in (others, signs))
        return Speed(small, element, sign, product / 500**3)
    finally:
        torch.set_num_threads(threads)


def _step_seconds(config: PointConfig, steps: int) -> float:
    energy = _energy(config)
    position = starting_position(
        energy, config.make_student, config.make_teacher, start="prior", seed=0
    )
    sampler, random = Underdamped(1e-3), generator(0, "noise")
    state = sampler.init(energy, position, random)
    return _fastest(lambda: sampler.advance(state, energy, steps, random, done=0)) / steps


def _fastest(work: Callable[[], object]) -> float:
    """Seconds of the fastest of a few repetitions, after one that does not count."""
    work()
    seconds = []
    for _ in range(5):
        watch = Stopwatch()
        work()
        seconds.append(watch.seconds)
    return min(seconds)


def estimated_steps(config: PointConfig) -> int:
    """Steps of a point, at most; of one that grows, as of most that do.

    The step size is estimated as the run itself will do it.
    """
    if config.method == "nngp":
        return 0
    small = replace(
        config,
        samples=min(config.samples, _PROBE_SAMPLES),
        chains=1,
        seed=0,
        test_samples=2,
        device="cpu",
        start="prior",
        code=config.code if config.measures_evidence else None,
    )
    step = _default_step(small) if config.step is None else config.step
    if config.protocol is not None:
        return PROTOCOLS[config.teacher].schedule(step).steps
    if config.measures_evidence:
        # About so many noises; the networks that settle are few, and the decomposition of a Gram
        # matrix, once a noise, is as much as ten steps.
        noises = _NOISES if config.sampler == "population" else INTEGRAL_LOOKS
        return config.chains * noises * (10 + config.steps_a_noise)
    time = config.make_sampling.langevin_time
    return math.ceil((_GROWN * time if config.until_settled else time) / step)


@lru_cache(maxsize=4096)
def _default_step(config: PointConfig) -> float:
    """The step size that a run chooses; a usual one where the run itself will end in an error."""
    try:
        check_memory(config)
        energy = _energy(config)
        position = starting_position(
            energy,
            config.make_student,
            config.make_teacher,
            start="prior",
            seed=0,
            readout=config.method == "network" or config.solver == "particles",
        )
        return config.make_sampling.build(energy, position).step_size
    except FeatureLearningError:
        return 0.2


def _energy(config: PointConfig) -> Energy:
    student, (data, _) = config.make_student, config.datasets()
    if config.method == "network":
        return network_posterior(
            student, data, kappa=config.kappa, chains=config.chains, penalty=config.penalty
        )
    return mean_field.build_energy(
        student,
        data,
        kappa=config.kappa,
        chains=config.chains,
        solver=config.solver,
        particles=config.particles,
        ard=Ard(config.alpha0) if config.method == "mf-ard" else None,
    )


def stored_bytes(config: PointConfig, *, weights: bool) -> int:
    """Disk space of a result, roughly."""
    if config.method == "nngp" or not weights:
        return 4096
    size = 8 if config.dtype == "float64" else 4
    return 8192 + size * config.chains * (config.particles or config.width) * (config.dim + 1)
