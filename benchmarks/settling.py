"""Time from the prior until chains agree: R-hat below 1.01, by the library's own rule.

The rule (:class:`feature_learning.ConvergenceRule`: R-hat of m_S and of the test MSE below 1.01,
effective sample size at least 100, four chains) is asked after every :data:`EVERY` looks about the
second half of what there is. Where chains stop in different metastable states it is never met, so
the point must be one where they agree: at κ = 0.005 the stored grid has that below the transition,
at P = 100, and nowhere above. Looking again and again favours an early yes, for everybody.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from feature_learning import ConvergenceRule, PointConfig, network_posterior
from feature_learning.inference import sample, starting_position
from feature_learning.samplers import Sampler
from feature_learning.sampling import default_step
from feature_learning.schedules import Schedule, uniform

#: Langevin time between two looks, and for the first descent of the loss at high friction.
SPACING, SETTLE = 30.0, 150.0
EVERY = 20


@dataclass
class Agreed:
    """Stops a run when its chains agree, or when its time is up."""

    deadline: float
    rule: ConvergenceRule = field(default_factory=ConvergenceRule)
    agreed: bool = False
    r_hat: float = float("nan")

    def finished(
        self, series: dict[str, NDArray[np.float64]], counted: NDArray[np.bool_]
    ) -> NDArray[np.bool_]:
        """All or none."""
        chains, looks = next(iter(series.values())).shape[0], int(counted.sum())
        if looks and looks % EVERY == 0:
            half = {name: draws[:, counted][:, looks // 2 :] for name, draws in series.items()}
            judged = self.rule.judge(half)
            self.agreed, self.r_hat = judged.converged, max(judged.r_hat.values())
        return np.full(chains, self.agreed or time.perf_counter() > self.deadline)


@dataclass(frozen=True)
class Settling:
    """How long it took, or how long it was tried."""

    dynamics: str
    samples: int
    chains: int
    kappa: float
    seconds: float
    steps: int
    agreed: bool
    r_hat: float
    setting: str


def measure(dynamics: str, *, samples: int, seconds: float, seed: int = 0) -> Settling:
    """Run four chains from the prior until they agree, for so many seconds at most.

    The time is that of the whole run: steps, looks and judging.
    """
    config = PointConfig(
        samples=samples, sampler=dynamics, seed=seed, test_samples=2000, until_settled=False
    )
    teacher, student, sampling = config.make_teacher, config.make_student, config.make_sampling
    data, test = config.datasets()
    energy = network_posterior(student, data, kappa=config.kappa, chains=config.chains)
    start = starting_position(energy, student, teacher, start="prior", seed=seed)
    step = default_step(sampling.build(energy, start), energy, start)
    # No step is faster than 10 microseconds: the schedule ends after the deadline.
    looks = max(100, int(seconds * 1e5 * step / SPACING))
    settle = SETTLE / (looks * SPACING)

    def schedule(sampler: Sampler) -> Schedule:
        return uniform(
            step_size=sampler.step_size,
            langevin_time=looks * SPACING,
            looks=looks,
            burn_in=min(settle, 0.5),
            settle=min(settle, 0.5),
        )

    begun = time.perf_counter()
    stop = Agreed(begun + seconds)
    result, sampler = sample(
        energy, student, teacher, test, sampling, seed=seed, schedule=schedule, stop=stop
    )
    passed = time.perf_counter() - begun
    at = int(result.final_look.max())
    return Settling(
        dynamics,
        samples,
        config.chains,
        config.kappa,
        passed,
        int(result.steps[at]),
        stop.agreed,
        stop.r_hat,
        f"step {sampler.step_size:g}, from the prior, seed {seed}",
    )


def line(run: Settling) -> str:
    """One sentence."""
    outcome = "agree after" if run.agreed else "do not agree within"
    return (
        f"{run.dynamics}, P={run.samples}, kappa={run.kappa:g}: {run.chains} chains {outcome} "
        f"{run.seconds:.1f} s and {run.steps} steps, R-hat {run.r_hat:.3f} ({run.setting})"
    )
