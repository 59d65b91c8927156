r"""One problem, three implementations of the same SGLD step, and the proof that they are the same.

    U = (1/P) Σ_μ (f(x_μ) - y_μ)² + T (Σ_i a_i²/2 + d Σ_i |w_i|²/2)
    f(x) = N^(-1/2) Σ_i a_i relu(w_i·x)
    θ ← θ - η ∇U + √(2Tη) ξ,   T = 2κ²

Peers are asked for log p = -U at temperature T, which is what both of them call tempered SGLD:
blackjax moves by η ∇log p + √(2Tη) ξ, posteriors by η ∇log p + √(Tη(2 - Tηβ)) ξ with β = 0.
``check`` does not believe this but measures it.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from feature_learning import SGLD, Dataset, SparseParity, Student, draw, network_posterior
from feature_learning.randomness import generator

Array = NDArray[Any]
#: Largest relative distance of a gradient from the double-precision reference: two contenders that
#: pass differ by less than 1e-4.
GRADIENT_TOLERANCE = 5e-5
#: The noise of some steps is divided by √(2Tη); its second moment must be 1 within this.
NOISE_TOLERANCE = 0.05
CHECKED_STEPS = 5


class MissingPeerError(Exception):
    """A peer is not installed."""


class DisagreementError(Exception):
    """A contender computes something else than the others."""


@dataclass(frozen=True)
class Problem:
    """Data, start and constants, in NumPy so that nobody is favoured."""

    inputs: Array  # (samples, dim) float32
    labels: Array  # (samples,)
    w: Array  # (chains, width, dim): draws from the prior
    a: Array  # (chains, width)
    temperature: float
    step_size: float

    @classmethod
    def make(
        cls,
        *,
        samples: int,
        chains: int,
        width: int = 512,
        dim: int = 35,
        sparsity: int = 4,
        kappa: float = 0.005,
        step_size: float = 0.3,
        seed: int = 0,
    ) -> Problem:
        """Sparse parity at the size of the paper's Figure 1; η is far below the stability limit."""
        data = draw(SparseParity(dim=dim, sparsity=min(sparsity, dim)), samples, seed=seed)
        student = Student(dim=dim, width=width)
        start = student.sample_prior(chains, width, generator(seed, "start"))
        w, a, _ = student.views(start, chains, width)
        return cls(
            data.inputs.numpy(),
            data.labels.numpy(),
            w.contiguous().numpy(),
            a.contiguous().numpy(),
            2 * kappa**2,
            step_size,
        )

    @property
    def chains(self) -> int:
        return self.w.shape[0]

    def gradient(self, w: Array, a: Array) -> tuple[Array, Array]:
        """∇U in double precision, written for reading."""
        inputs, (_, width, dim) = self.inputs.astype(float), self.w.shape
        w, a = w.astype(float), a.astype(float)
        z = w @ inputs.T
        field = np.einsum("cn,cnp->cp", a, np.maximum(z, 0)) / math.sqrt(width)
        push = 2 * (field - self.labels) / len(self.labels) / math.sqrt(width)
        of_a = np.einsum("cp,cnp->cn", push, np.maximum(z, 0)) + self.temperature * a
        of_w = a[:, :, None] * np.einsum("cp,cnp,pd->cnd", push, z > 0, inputs, optimize=True)
        return of_w + self.temperature * dim * w, of_a


class Contender(Protocol):
    """Something that can make SGLD steps from the problem's start on."""

    name: str
    note: str
    shape: str

    def gradient(self) -> tuple[Array, Array]:
        """∇U of the position: (chains, width, dim) and (chains, width)."""

    def position(self) -> tuple[Array, Array]:
        """Copies of w and a, shaped like the gradient."""

    def run(self, steps: int) -> None:
        """Make so many steps and wait until they are done."""


@contextmanager
def _peer(name: str) -> Iterator[None]:
    """Turn a failing import into one sentence."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except ImportError as error:
        raise MissingPeerError(
            f"{name} cannot be imported ({error}); install the peers with "
            "`pip install -e .[bench]`, or measure without them: --ours-only"
        ) from error


class Ours:
    """This library: all chains in one flat vector."""

    name = "feature_learning"
    note = "network_posterior and SGLD.advance"

    def __init__(self, problem: Problem, shape: str = "batch") -> None:
        self.shape = shape
        _, width, dim = problem.w.shape
        data = Dataset(torch.from_numpy(problem.inputs), torch.from_numpy(problem.labels))
        student = Student(dim=dim, width=width)
        kappa = math.sqrt(problem.temperature / 2)
        self.energy = network_posterior(student, data, kappa=kappa, chains=problem.chains)
        self.random = generator(1, "noise")
        self.sampler = SGLD(step_size=problem.step_size)
        start = torch.empty(student.size(problem.chains, width))
        w, a, _ = student.views(start, problem.chains, width)
        w.copy_(torch.from_numpy(problem.w))
        a.copy_(torch.from_numpy(problem.a))
        self.state = self.sampler.init(self.energy, start, self.random)
        self.done = 0

    def gradient(self) -> tuple[Array, Array]:
        out = torch.empty_like(self.state.position)
        self.energy.gradient(self.state.position, out)
        return self._unpack(out)

    def position(self) -> tuple[Array, Array]:
        return self._unpack(self.state.position)

    def run(self, steps: int) -> None:
        with self.energy.field.stepping():
            self.sampler.advance(self.state, self.energy, steps, self.random, done=self.done)
        self.done += steps

    def _unpack(self, flat: torch.Tensor) -> tuple[Array, Array]:
        w, a, _ = self.energy.views(flat)
        return w.numpy().copy(), a.numpy().copy()


class Blackjax:
    """blackjax's SGLD: all steps of a turn in one ``lax.scan``, all chains in one jit.

    Parameters are a pair (w, a): measured faster than one flat vector. The random numbers are
    JAX's default.
    """

    name = "blackjax"
    note = "jit of lax.scan over the steps; chains by jax.vmap or, one by one, jax.lax.map"

    def __init__(self, problem: Problem, shape: str) -> None:
        self.shape = shape
        with _peer(self.name):
            import blackjax
            import jax
            import jax.numpy as jnp

        self._jax = jax
        _, width, dim = problem.w.shape
        inputs, labels = jnp.asarray(problem.inputs), jnp.asarray(problem.labels)
        transposed = jnp.asarray(np.ascontiguousarray(problem.inputs.T))
        temperature, step_size = problem.temperature, problem.step_size
        scale = 1 / math.sqrt(width)

        def log_density(theta: Any) -> Any:
            w, a = theta
            field = scale * (a @ jax.nn.relu(w @ transposed))
            prior = 0.5 * (jnp.sum(a * a) + dim * jnp.sum(w * w))
            return -jnp.mean((field - labels) ** 2) - temperature * prior

        kernel = blackjax.sgld(lambda theta, _: jax.grad(log_density)(theta))

        def chain(theta: Any, key: Any, steps: int) -> Any:
            def one(here: Any, key: Any) -> Any:
                return kernel.step(key, here, (inputs, labels), step_size, temperature), None

            return jax.lax.scan(one, theta, jax.random.split(key, steps))[0]

        self._single = problem.chains == 1
        start = (problem.w[0], problem.a[0]) if self._single else (problem.w, problem.a)
        self._theta = jax.tree.map(jnp.asarray, start)
        self._key = jax.random.key(1)
        grad = jax.grad(log_density)
        self._grad = jax.jit(grad if self._single else jax.vmap(grad))

        def chains(thetas: Any, keys: Any, steps: int) -> Any:
            if shape == "vmap":
                return jax.vmap(chain, in_axes=(0, 0, None))(thetas, keys, steps)
            return jax.lax.map(lambda pair: chain(*pair, steps), (thetas, keys))

        self._run = jax.jit(chain if self._single else chains, static_argnums=2)
        self._chains = problem.chains

    def gradient(self) -> tuple[Array, Array]:
        of_w, of_a = self._unpack(self._grad(self._theta))
        return -of_w, -of_a

    def position(self) -> tuple[Array, Array]:
        return self._unpack(self._theta)

    def run(self, steps: int) -> None:
        self._key, key = self._jax.random.split(self._key)
        keys = key if self._single else self._jax.random.split(key, self._chains)
        self._theta = self._jax.block_until_ready(self._run(self._theta, keys, steps))

    def _unpack(self, pair: Any) -> tuple[Array, Array]:
        w, a = (np.array(part) for part in pair)
        return (w[None], a[None]) if self._single else (w, a)


class Posteriors:
    """posteriors' SGLD: ``torch.func`` gradient, parameters in a dictionary.

    In the shape "vmap" all chains are one state whose log-density sums a ``torch.vmap`` over
    chains: as fast as a ``vmap`` of the whole update at 100 samples, faster at 1000.
    """

    name = "posteriors"
    note = "torch.func gradient, update in place; chains by torch.vmap or one by one"

    def __init__(self, problem: Problem, shape: str) -> None:
        with _peer(self.name):
            from posteriors.sgmcmc import sgld

        self.shape = shape
        _, width, dim = problem.w.shape
        labels = torch.from_numpy(problem.labels)
        self._batch = (torch.from_numpy(problem.inputs).t().contiguous(), labels)
        temperature, scale = problem.temperature, 1 / math.sqrt(width)

        def one_chain(w: torch.Tensor, a: torch.Tensor, batch: Any) -> torch.Tensor:
            transposed, labels = batch
            field = scale * (a @ torch.relu(w @ transposed))
            prior = 0.5 * ((a * a).sum() + dim * (w * w).sum())
            return -((field - labels) ** 2).mean() - temperature * prior

        def log_posterior(theta: Any, batch: Any) -> tuple[torch.Tensor, torch.Tensor]:
            w, a = theta["w"], theta["a"]
            if shape == "vmap":
                value = torch.vmap(one_chain, in_dims=(0, 0, None))(w, a, batch).sum()
            else:
                value = one_chain(w, a, batch)
            return value, torch.empty(0)

        self._log_posterior, w, a = log_posterior, problem.w, problem.a
        starts = [(w, a)] if shape == "vmap" else list(zip(w, a, strict=True))
        self._transform = sgld.build(log_posterior, lr=problem.step_size, temperature=temperature)
        self._states = [
            self._transform.init({"w": torch.tensor(w), "a": torch.tensor(a)}) for w, a in starts
        ]
        torch.manual_seed(1)

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


def check(problem: Problem, contenders: Sequence[Contender]) -> None:
    """Make some steps with each contender and measure that they are the steps of the problem.

    The gradient at the start is compared with :meth:`Problem.gradient`. What is left of a step
    after the drift, divided by √(2Tη), must be white noise: second moment 1, no correlation between
    steps or between chains.

    Raises:
    ------
    DisagreementError
        With the contender and the number.
    """
    expected = problem.gradient(problem.w, problem.a)
    amplitude = math.sqrt(2 * problem.temperature * problem.step_size)
    for contender in contenders:
        for found, start in zip(contender.position(), (problem.w, problem.a), strict=True):
            if not np.array_equal(found, start):
                raise DisagreementError(f"{contender.name} does not start where it should")
        for name, found, right in zip("wa", contender.gradient(), expected, strict=True):
            distance = np.linalg.norm(found - right) / np.linalg.norm(right)
            if not distance < GRADIENT_TOLERANCE:
                raise DisagreementError(
                    f"the gradient of {contender.name} with respect to {name} is off by "
                    f"{distance:.2g}, relatively; {GRADIENT_TOLERANCE:g} is allowed"
                )
        noise = []
        for _ in range(CHECKED_STEPS):
            before, slope = contender.position(), contender.gradient()
            contender.run(1)
            moved = zip(before, slope, contender.position(), strict=True)
            parts = [(new - old + problem.step_size * grad) / amplitude for old, grad, new in moved]
            noise.append(np.concatenate([part.reshape(problem.chains, -1) for part in parts], 1))
        streams = np.concatenate(noise).astype(float)  # (steps · chains, parameters)
        moments = streams @ streams.T / streams.shape[1]
        # Sampling error of a moment: √(2/parameters) on the diagonal, 1/√parameters off it.
        error = 6 / math.sqrt(streams.shape[1])
        power, overlap = float(moments.diagonal().mean()), np.triu(moments, 1)
        if not abs(power - 1) < NOISE_TOLERANCE + error / math.sqrt(len(streams)):
            raise DisagreementError(
                f"the noise of {contender.name} has {power:.3g} times the variance 2Tη"
            )
        if not float(np.abs(overlap).max()) < error:
            raise DisagreementError(
                f"the noise of {contender.name} is correlated between steps or chains: "
                f"{float(np.abs(overlap).max()):.2g}, {error:.2g} is allowed"
            )


CONTENDERS = {kind.name: kind for kind in (Ours, Blackjax, Posteriors)}


def shapes(name: str, chains: int) -> tuple[str, ...]:
    """The ways to run the chains of a contender that are worth trying."""
    if name == Ours.name:
        return ("batch",)
    return ("vmap", "one by one") if chains > 1 else ("one by one",)
