r"""Other packages on the same problem, each used in the way that suits it best.

All peers sample the distribution exp(-U/T). The SGLD of blackjax and posteriors and the BAOA of
posteriors take a temperature: they get log p = -U and T. HMC of blackjax and SGLD of SGMCMCJax take
none: they get log p = -U/T. HMC has the inverse mass T, so that M⁻¹p is a velocity of variance T
and its steps are those of h; SGMCMCJax has the step ηT. :func:`benchmarks.packages.check` tests
this numerically.
"""

from __future__ import annotations

import math
import sys
import types
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from benchmarks.problem import HMC, SGLD, UNDERDAMPED, Array, MissingPeerError, Problem


@contextmanager
def _peer(name: str) -> Iterator[None]:
    """Turn a failed import into a one-line error."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except ImportError as error:
        raise MissingPeerError(
            f"{name} cannot be imported ({error}); install the peers with "
            "`pip install -e .[bench]`, or measure without them: --ours-only"
        ) from error


class Jax(ABC):
    """Base class of peers on JAX: all steps of a turn in one loop, all chains in one jit.

    Parameters are a pair (w, a), which was measured to be faster than one flat vector. The random
    numbers are JAX's default. The number of steps is an argument of the compiled loop.
    """

    def __init__(self, problem: Problem, shape: str) -> None:
        self.shape, self.chains, self._problem = shape, problem.chains, problem
        with _peer(self.name):
            import jax
            import jax.numpy as jnp

            self._jax, self._jnp = jax, jnp
            self._single = problem.chains == 1
            start = (problem.w[0], problem.a[0]) if self._single else (problem.w, problem.a)
            self._key = jax.random.key(1)
            self._transposed = jnp.asarray(np.ascontiguousarray(problem.inputs.T))
            self._labels = jnp.asarray(problem.labels)
            init, step = self._kernel()
        theta = jax.tree.map(jnp.asarray, start)
        self._state = (init if self._single else jax.vmap(init))(theta)
        slope = jax.grad(self._log_density)
        self._slope = jax.jit(slope if self._single else jax.vmap(slope))

        def one_chain(state: Any, key: Any, turns: Any) -> Any:
            def one(turn: Any, state: Any) -> Any:
                return step(jax.random.fold_in(key, turn), state)

            return jax.lax.fori_loop(0, turns, one, state)

        def chains(states: Any, keys: Any, turns: Any) -> Any:
            if shape == "vmap":
                return jax.vmap(one_chain, in_axes=(0, 0, None))(states, keys, turns)
            return jax.lax.map(lambda pair: one_chain(pair[0], pair[1], turns), (states, keys))

        self._run = jax.jit(one_chain if self._single else chains)

    name, unit = "jax", 1

    @abstractmethod
    def _kernel(self) -> tuple[Any, Any]:
        """The functions ``init`` and ``step`` of one chain."""

    def _log_density(self, theta: Any) -> Any:
        """-U."""
        jax, jnp, (w, a) = self._jax, self._jnp, theta
        field = (a @ jax.nn.relu(w @ self._transposed)) / math.sqrt(w.shape[0])
        prior = 0.5 * (jnp.sum(a * a) + w.shape[1] * jnp.sum(w * w))
        loss = jnp.mean((field - self._labels) ** 2)
        return -loss - self._problem.temperature * prior

    def _theta(self) -> Any:
        """The pair (w, a)."""
        return self._state

    def gradient(self) -> tuple[Array, Array]:
        of_w, of_a = self._unpack(self._slope(self._theta()))
        return -of_w, -of_a

    def position(self) -> tuple[Array, Array]:
        return self._unpack(self._theta())

    def run(self, steps: int) -> None:
        jax = self._jax
        self._key, key = jax.random.split(self._key)
        keys = key if self._single else jax.random.split(key, self.chains)
        turns = self._jnp.asarray(steps // self.unit)
        self._state = jax.block_until_ready(self._run(self._state, keys, turns))

    def _unpack(self, pair: Any) -> tuple[Array, Array]:
        w, a = (np.array(part) for part in pair)
        return (w[None], a[None]) if self._single else (w, a)


class BlackjaxSGLD(Jax):
    """blackjax's SGLD."""

    name, dynamics = "blackjax", SGLD
    note = "jit over all steps; chains by jax.vmap or, one by one, jax.lax.map"

    def _kernel(self) -> tuple[Any, Any]:
        import blackjax

        problem, slope = self._problem, self._jax.grad(self._log_density)
        kernel = blackjax.sgld(lambda theta, _: slope(theta))

        def step(key: Any, theta: Any) -> Any:
            return kernel.step(key, theta, None, problem.step_size, problem.temperature)

        return lambda theta: theta, step


class BlackjaxHMC(Jax):
    """blackjax's HMC; a step is one leapfrog step, including the test after a trajectory."""

    name, dynamics = "blackjax", HMC
    note = BlackjaxSGLD.note

    def _kernel(self) -> tuple[Any, Any]:
        import blackjax

        problem = self._problem
        self.unit = problem.leapfrogs
        size = problem.w[0].size + problem.a[0].size
        kernel = blackjax.hmc(
            lambda theta: self._log_density(theta) / problem.temperature,
            problem.leapfrog_step,
            self._jnp.full(size, problem.temperature),
            problem.leapfrogs,
        )
        return kernel.init, lambda key, state: kernel.step(key, state)[0]

    def _theta(self) -> Any:
        return self._state.position


class SGMCMCJaxSGLD(Jax):
    """SGMCMCJax's SGLD; the package takes the log-likelihood of ONE data point and vmaps it.

    Its progress bar, which is not used here, imports ``jax.experimental.host_callback``. Newer
    versions of JAX lack this module, so that the package cannot be imported: an empty module
    replaces it.
    """

    name, dynamics = "sgmcmcjax", SGLD
    note = "kernel in a jit over all steps; its log-likelihood is per data point, by jax.vmap"

    def _kernel(self) -> tuple[Any, Any]:
        with _host_callback():
            from sgmcmcjax.kernels import build_sgld_kernel
            from sgmcmcjax.util import build_grad_log_post
        jax, jnp, problem = self._jax, self._jnp, self._problem
        temperature = problem.temperature

        def log_likelihood(theta: Any, x: Any, y: Any) -> Any:
            w, a = theta
            field = (a @ jax.nn.relu(w @ x)) / math.sqrt(w.shape[0])
            return -((field - y) ** 2) / (problem.n_train * temperature)

        def log_prior(theta: Any) -> Any:
            w, a = theta
            return -0.5 * (jnp.sum(a * a) + w.shape[1] * jnp.sum(w * w))

        data = (jnp.asarray(problem.inputs), self._labels)
        init, kernel, self._params = build_sgld_kernel(
            problem.step_size * temperature, log_likelihood, log_prior, data, problem.n_train
        )
        slope = build_grad_log_post(log_likelihood, log_prior, data)

        def begin(theta: Any) -> Any:
            # The package would take the first gradient from a batch drawn with replacement.
            state = init(jax.random.key(0), theta)
            return state._replace(param_grad=slope(theta, *data))

        return begin, lambda key, state: kernel(0, key, state)

    def _theta(self) -> Any:
        return self._params(self._state)

    def gradient(self) -> tuple[Array, Array]:
        """The gradient that the package keeps in its state, times T."""
        of_w, of_a = self._unpack(self._state.param_grad)
        return -self._problem.temperature * of_w, -self._problem.temperature * of_a


@contextmanager
def _host_callback() -> Iterator[None]:
    """Provide an empty ``jax.experimental.host_callback`` during an import that needs it."""
    import jax.experimental

    name = "jax.experimental.host_callback"
    if hasattr(jax.experimental, "host_callback"):
        yield
        return
    jax.experimental.host_callback = sys.modules[name] = types.ModuleType(name)
    try:
        yield
    finally:
        del jax.experimental.host_callback, sys.modules[name]


class _Posteriors(ABC):
    """posteriors: ``torch.func`` gradient, parameters in a dictionary, update in place.

    In the shape "vmap" all chains are one state whose log-density sums a ``torch.vmap`` over
    chains: as fast as a ``vmap`` of the whole update at 100 samples, faster at 1000.
    """

    name, unit = "posteriors", 1
    note = "torch.func gradient, update in place; chains by torch.vmap or one by one"

    @abstractmethod
    def _build(self) -> Any:
        """The transform of the package."""

    def __init__(self, problem: Problem, shape: str) -> None:
        self.shape, self._problem = shape, problem
        labels = torch.from_numpy(problem.labels)
        self._batch = (torch.from_numpy(problem.inputs).t().contiguous(), labels)
        temperature, scale = problem.temperature, 1 / math.sqrt(problem.w.shape[1])
        dim = problem.w.shape[2]

        def one_chain(w: torch.Tensor, a: torch.Tensor, batch: Any) -> torch.Tensor:
            transposed, labels = batch
            field = scale * (a @ torch.relu(w @ transposed))
            prior = 0.5 * ((a * a).sum() + dim * (w * w).sum())
            density: torch.Tensor = -((field - labels) ** 2).mean() - temperature * prior
            return density

        def log_posterior(theta: Any, batch: Any) -> tuple[torch.Tensor, torch.Tensor]:
            w, a = theta["w"], theta["a"]
            if shape == "vmap":
                value = torch.vmap(one_chain, in_dims=(0, 0, None))(w, a, batch).sum()
            else:
                value = one_chain(w, a, batch)
            return value, torch.empty(0)

        self._log_posterior, w, a = log_posterior, problem.w, problem.a
        starts = [(w, a)] if shape == "vmap" else list(zip(w, a, strict=True))
        torch.manual_seed(1)
        with _peer(self.name):
            self._transform = self._build()
        self._states = [
            self._transform.init({"w": torch.tensor(w), "a": torch.tensor(a)}) for w, a in starts
        ]

    def gradient(self) -> tuple[Array, Array]:
        slope = torch.func.grad(self._log_posterior, has_aux=True)
        thetas = [{name: state.params[name] for name in "wa"} for state in self._states]
        return self._unpack([slope(theta, self._batch)[0] for theta in thetas], -1)

    def position(self) -> tuple[Array, Array]:
        return self._unpack([state.params for state in self._states], 1)

    def run(self, steps: int) -> None:
        update, batch = self._transform.update, self._batch
        for index, start in enumerate(self._states):
            state = start
            for _ in range(steps):
                state, _ = update(state, batch, inplace=True)
            self._states[index] = state

    def _unpack(self, thetas: Sequence[Any], sign: int) -> tuple[Array, Array]:
        join = np.concatenate if self.shape == "vmap" else np.stack
        w, a = (join([sign * theta[name].detach().numpy() for theta in thetas]) for name in "wa")
        return w, a


class PosteriorsSGLD(_Posteriors):
    """posteriors' SGLD."""

    dynamics = SGLD

    def _build(self) -> Any:
        from posteriors.sgmcmc import sgld

        eta, temperature = self._problem.step_size, self._problem.temperature
        return sgld.build(self._log_posterior, lr=eta, temperature=temperature)


class PosteriorsBAOA(_Posteriors):
    """posteriors' BAOA, from rest."""

    dynamics = UNDERDAMPED

    def _build(self) -> Any:
        from posteriors.sgmcmc import baoa

        problem = self._problem
        return baoa.build(
            self._log_posterior,
            lr=problem.inertial_step,
            alpha=problem.friction,
            temperature=problem.temperature,
            momenta=0.0,
        )

    def velocity(self) -> tuple[Array, Array]:
        return self._unpack([state.momenta for state in self._states], 1)
