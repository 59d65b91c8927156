r"""This library's dynamics and blackjax's best samplers, each with its own tuning.

This library relaxes its chains at high friction and then derives step, friction and readout mass
from largest curvatures (:mod:`feature_learning.samplers.tuning`), as in every run. blackjax's HMC
and NUTS tune step and diagonal mass by window adaptation (the warm-up of Stan); MCLMC tunes step,
momentum decoherence length and diagonal preconditioner by ``mclmc_find_L_and_step_size``. One chain
is tuned, and all use the result. They get log p = -U/T.
"""

from __future__ import annotations

import time
from typing import Any

from benchmarks.packages import OursUnderdamped
from benchmarks.peers import Jax
from benchmarks.problem import HMC, MCLMC, NUTS, Problem
from feature_learning import Underdamped
from feature_learning.samplers.steps import default_step
from feature_learning.samplers.tuning import tuned

#: Leapfrog steps of a trajectory of HMC: as many as NUTS chooses with the same mass.
LEAPFROGS = 256
#: Initial step of window adaptation, in units of the prior of a readout.
FIRST_STEP = 0.002


#: Steps of this library at friction 1 before the tuning.
SETTLING = 500


class TunedUnderdamped(OursUnderdamped):
    """This library's BAOAB as its runs tune it, with ``spacing`` steps between measurements."""

    spacing = 30

    def __init__(self, problem: Problem) -> None:
        begun = time.perf_counter()
        super().__init__(problem)
        sampler = Underdamped(1.0)
        sampler = sampler.with_step(default_step(sampler, self.energy, self.state.position))
        self.sampler = sampler.for_warmup()
        self.run(SETTLING)
        step, friction, mass = tuned(self.energy, self.state.position)
        self.sampler = sampler.with_tuning(step, friction, mass)
        self.sampler.begin(self.state, self.energy)
        self.setting = (
            f"step {step:g}, friction {friction:g}, readout mass {mass:g}, tuned in "
            f"{time.perf_counter() - begun:.0f} s"
        )


class Tuned(Jax):
    """A sampler of blackjax after its own tuning, with ``spacing`` steps between measurements.

    Parameters
    ----------
    problem
        The problem, with the starts of all chains.
    tuning
        Length of the tuning: draws of HMC and NUTS; for MCLMC the ``num_steps`` of its tuning,
        which makes 30 % of them.
    """

    name, note, spacing = "blackjax", "its own tuning, chains one by one", 1
    dynamics: str

    def __init__(self, problem: Problem, tuning: int) -> None:
        self._tuning, self.setting = tuning, ""
        begun = time.perf_counter()
        super().__init__(problem, "one by one")
        self.setting += f"tuned in {time.perf_counter() - begun:.0f} s"

    def _log_posterior(self, theta: Any) -> Any:
        return self._log_density(theta) / self._problem.temperature

    def _first(self) -> Any:
        """Start of the chain that is tuned."""
        return self._jnp.asarray(self._problem.w[0]), self._jnp.asarray(self._problem.a[0])

    def _theta(self) -> Any:
        return self._state.position


class _Windows(Tuned):
    """Base class of the samplers tuned by window adaptation."""

    options: dict[str, int] = {}  # noqa: RUF012 - a constant of the class

    def _kernel(self) -> tuple[Any, Any]:
        import blackjax

        algorithm = {HMC: blackjax.hmc, NUTS: blackjax.nuts}[self.dynamics]
        adapted = blackjax.window_adaptation(
            algorithm, self._log_posterior, initial_step_size=FIRST_STEP, **self.options
        )
        (_, found), _ = adapted.run(self._jax.random.key(0), self._first(), self._tuning)
        self.setting = f"step {float(found['step_size']):.2g} of its own units, "
        kernel = algorithm(self._log_posterior, **found)
        return kernel.init, lambda key, state: kernel.step(key, state)[0]


class TunedHMC(_Windows):
    """blackjax's HMC; a step is a trajectory."""

    dynamics, options = HMC, {"num_integration_steps": LEAPFROGS}


class TunedNUTS(_Windows):
    """blackjax's NUTS; a step is a draw."""

    dynamics = NUTS


class TunedMCLMC(Tuned):
    """blackjax's microcanonical Langevin dynamics; a step costs two gradients."""

    dynamics, spacing = MCLMC, 60

    def _kernel(self) -> tuple[Any, Any]:
        import blackjax

        module, random = blackjax.mcmc.mclmc, self._jax.random
        state = module.init(self._first(), self._log_posterior, random.key(0))
        _, found, _ = blackjax.mclmc_find_L_and_step_size(
            module.build_kernel(blackjax.mcmc.integrators.isokinetic_mclachlan),
            self._tuning,
            state,
            random.key(1),
            logdensity_fn=self._log_posterior,
        )
        self.setting = f"step {float(found.step_size):.2g}, L {float(found.L):.2g}, "
        kernel = blackjax.mclmc(self._log_posterior, **found._asdict())

        def init(theta: Any) -> Any:
            return module.init(theta, self._log_posterior, random.key(2))

        return init, lambda key, state: kernel.step(key, state)[0]


TUNED = (TunedMCLMC, TunedHMC, TunedNUTS)
