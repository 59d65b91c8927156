"""Small runs of every energy and sampler, and an executor without processes."""

import os
import signal
import sys
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path

import torch

from feature_learning.energies.collapsed import CollapsedEnergy
from feature_learning.energies.ladder import LadderEnergy
from feature_learning.energies.minibatch import MiniBatchEnergy
from feature_learning.energies.particles import mean_field_energy, network_posterior
from feature_learning.energies.release import ReleasedEnergy
from feature_learning.experiments.flat import composed
from feature_learning.inference.chain_run import ChainRun
from feature_learning.inference.chains import run_chains
from feature_learning.inference.observables import Observer
from feature_learning.model.priors import Ard
from feature_learning.model.randomness import generator
from feature_learning.model.student import Student
from feature_learning.model.teachers import SparseParity, make_dataset
from feature_learning.samplers import (
    HMC,
    MALA,
    SGLD,
    AdaptiveSGLD,
    Gibbs,
    MiniBatchSGLD,
    PreconditionedSGLD,
    QuantisedLangevin,
    ReplicaExchange,
    Underdamped,
)
from feature_learning.samplers.schedules import uniform
from feature_learning.sweeps.pool import compute

#: Ways to run a small problem: the energy and the sampler of each.
KINDS = ("sgld", "underdamped", "mf-ard", "collapsed", "collapsed-ard", "mala", "hmc")
KINDS += ("gibbs", "preconditioned", "adaptive", "quantised", "minibatch", "exchange", "released")
#: Samplers of the network posterior by kind; all other kinds are underdamped.
SAMPLERS = {
    "sgld": SGLD,
    "mala": MALA,
    "hmc": lambda step: HMC(step, leapfrogs=7),
    "gibbs": lambda step: Gibbs(step, every=9),
    # Gradients fall by orders of magnitude: shorter steps where they set the step.
    "preconditioned": lambda step: PreconditionedSGLD(step, damping=0.5),
    "adaptive": AdaptiveSGLD,
    "quantised": lambda step: QuantisedLangevin(step, 1e-3),
    "minibatch": MiniBatchSGLD,
    "exchange": lambda step: ReplicaExchange(Underdamped(step), every=9),
}


@dataclass
class MomentTest:
    """A small run, ready to go; ``before_gradient`` and ``before_look`` are called with a count."""

    kind: str = "sgld"
    chains: int = 2
    seed: int = 0
    width: int = 16
    kappa: float = 0.05
    steps: int = 480
    measurements: int = 6
    step_size: float = 0.1
    burn_in: float = 0.5
    before_gradient: object = None
    before_measurement: object = None
    gradients: int = field(default=0, init=False)
    measured: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self.teacher = SparseParity(8, 2)
        self.student = Student(dim=8, width=self.width)
        self.data = make_dataset(self.teacher, 40, seed=0)
        self.test = make_dataset(self.teacher, 100, seed=0, stream="test")
        common = {"kappa": self.kappa, "chains": self.chains}
        ard = Ard(2.0, every=3)
        if self.kind == "mf-ard":
            self.energy = mean_field_energy(self.student, self.data, ard=ard, **common)
        elif self.kind.startswith("collapsed"):
            self.energy = CollapsedEnergy(
                self.student,
                self.data,
                every=7,
                ard=ard if self.kind == "collapsed-ard" else None,
                **common,
            )
        elif self.kind == "released":
            self.energy = ReleasedEnergy(self.student, self.data, relevant=2, **common)
            self.energy.release_over(self.steps // 3)
        else:
            self.energy = network_posterior(self.student, self.data, **common)
            if self.kind == "minibatch":
                self.energy = MiniBatchEnergy(self.energy, 15)
            elif self.kind == "exchange":  # one ladder of all chains
                kappas = [self.kappa * 1.1**replica for replica in range(self.chains)]
                self.energy = LadderEnergy(self.student, self.data, kappas=kappas)
        self.sampler = SAMPLERS.get(self.kind, Underdamped)(self.step_size)
        self.observer = Observer(self.student, self.energy, self.test, sparsity=2)
        readout = not self.kind.startswith("collapsed")
        self.position = self.student.sample_prior(
            self.chains, self.width, generator(self.seed, "start"), readout=readout
        )
        self.random = generator(self.seed, "noise")
        self.schedule = uniform(
            step_size=self.step_size,
            steps=self.steps,
            measurements=self.measurements,
            burn_in=self.burn_in,
        )
        self._count_gradients()
        self._count_measurements()

    def _count_gradients(self) -> None:
        plain = self.energy.gradient

        def gradient(theta, out):
            self.gradients += 1
            if self.before_gradient is not None:
                self.before_gradient(self.gradients)
            plain(theta, out)

        self.energy.gradient = gradient
        if self.kind == "minibatch":
            whole = self.energy.estimate

            def estimate(theta, out, random):
                self.gradients += 1
                if self.before_gradient is not None:
                    self.before_gradient(self.gradients)
                whole(theta, out, random)

            self.energy.estimate = estimate

    def _count_measurements(self) -> None:
        """The first measurement at all is the starting point's: it has the count 0."""
        plain = self.observer.measure

        def measure(theta, *, average):
            if self.before_measurement is not None:
                self.before_measurement(self.measured)
            self.measured += 1
            return plain(theta, average=average)

        self.observer.measure = measure

    def run(self, **options) -> ChainRun:
        return run_chains(
            self.energy,
            self.sampler,
            self.position,
            options.pop("schedule", self.schedule),
            self.observer,
            random=self.random,
            **options,
        )


def fitting(**options):
    """The configuration of those options that have an effect together."""
    return composed(options)[0]


class Here:
    """Computes points in this process, at once; remembers their order."""

    def __init__(self, slots=1):
        self.slots, self.order, self.interrupted = slots, [], 0

    def submit(self, task):
        self.order.append(task.config)
        future = Future()
        try:
            future.set_result(compute(task.config, task.checkpoint, 1))
        except Exception as error:
            future.set_exception(error)
        return future

    def interrupt(self):
        self.interrupted += 1

    def close(self, *, kill=False):
        pass

    def news(self):
        return []


def killed_while_saving(path: str, kind: str) -> None:
    """Run with a checkpoint and die, as by ``kill -9``, in the middle of saving it a third time.

    For a process of its own: ``python -c "... small_runs.killed_while_saving(...)"``.
    """
    torch.set_num_threads(1)
    plain, saved = os.fsync, []

    def fsync(handle):
        saved.append(handle)
        if len(saved) == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        plain(handle)

    os.fsync = fsync
    MomentTest(kind).run(checkpoint=Path(path), checkpoint_every=1)
    sys.exit("the run ended without being killed")
