r"""The compiled kernel for the forward pass and gradients of ReLU networks on a CPU.

``relu.c`` computes the network output and both gradients of one chain in a single pass over the
samples. If there are enough samples, inputs of ±1 (those of parity) are processed five at a time
with tables of partial sums (``signs.h``): the same sums with two and a half times less arithmetic.
The kernel is built if a C compiler is present at installation, and runs on processors with AVX-512,
AVX2 or NEON. Otherwise :class:`~feature_learning.model.tiled_forward.TiledForward` does the same
with torch; the two agree up to rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any

import torch
from torch import Tensor

from feature_learning.native.library import load

#: Number of multiplications below which a second thread costs more than it saves.
_WORTH_A_THREAD = 4e6
#: Samples are divided between threads at multiples of this number. It is BLOCK of relu.c, so that
#: all threads but the last have whole blocks; coded inputs, in blocks of 256 or 1024, could be cut
#: anywhere. Another number would change the rounding of the sums.
_BLOCK = 96
#: Number of inputs of ±1 in one code.
_GROUP = 5
#: Number of samples below which the tables of all codes cost more than they save.
_WORTH_TABLES = 64
#: Number of threads that torch leaves to the kernels; None while torch keeps them.
_LEFT: ContextVar[int | None] = ContextVar("threads left to the kernels", default=None)


def _threads() -> int:
    """Number of threads that kernels may use."""
    return _LEFT.get() or torch.get_num_threads()


def _worth(n_train: int, fan_in: int, particles: int, chains: int) -> int:
    """Number of threads that a kernel of this size uses."""
    work = float(n_train) * fan_in * particles * chains
    return _threads() if work > _WORTH_A_THREAD else 1


@cache
def _helpers(threads: int) -> ThreadPoolExecutor:
    """Pool of the threads besides the calling one; the kernel runs without Python's lock."""
    return ThreadPoolExecutor(threads - 1, thread_name_prefix="relu")


def _addresses(tensor: Tensor | None) -> Callable[[int], int | None]:
    """Addresses of the slices along the first axis, faster than by indexing the tensor."""
    if tensor is None:
        return lambda index: None
    start, length = tensor.data_ptr(), tensor.stride(0) * tensor.element_size()
    return lambda index: start + index * length


class ReluKernel:
    """The kernel for one set of inputs.

    Parameters
    ----------
    inputs : Tensor
        (samples, fan_in), contiguous, float32, on the CPU.
    labels : Tensor
        (samples,).
    chains, particles : int
        Sizes of the parameters that :meth:`run` will receive.
    """

    def __init__(self, inputs: Tensor, labels: Tensor, *, chains: int, particles: int) -> None:
        library = load()
        assert library is not None
        self._library, self._run = library, library.relu_chain
        self._inputs, self._labels = inputs, labels.contiguous()
        self._chains, self._particles = int(chains), int(particles)
        self._size = 0
        self._buffers: tuple[Tensor, Tensor, Tensor, Tensor] | None = None
        self.read_inputs()

    def read_inputs(self) -> None:
        """Encode the inputs; to be called again whenever their memory has changed."""
        self._codes = _codes(self._inputs)
        size = self._library.relu_work(*self._inputs.shape, self._particles, self.coded)
        if size != self._size:
            self._size = size
            self._buffers = None

    @property
    def coded(self) -> bool:
        """Whether the kernel uses tables: inputs of ±1 and enough samples."""
        return self._codes is not None

    @staticmethod
    @contextmanager
    def owns_the_threads() -> Iterator[None]:
        """Context in which torch leaves its threads to the kernels.

        The work of torch between two calls is too short to be divided, and its idle threads would
        occupy the cores that the kernels need.
        """
        before = torch.get_num_threads()
        token = _LEFT.set(_threads())
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(before)
            _LEFT.reset(token)

    @staticmethod
    def takes(activation: str, inputs: Tensor) -> bool:
        """Whether there is a kernel for this activation and these inputs on this machine."""
        return (
            activation == "relu"
            and inputs.dtype == torch.float32
            and inputs.device.type == "cpu"
            and inputs.is_contiguous()
            and load() is not None
        )

    def _prepare(self, parts: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Work space, and partial sums (w, a, c) of ``parts`` pieces of work."""
        if self._buffers is None or self._buffers[0].shape[0] < parts:
            new, fan_in = self._inputs.new_empty, self._inputs.shape[1]
            self._buffers = (
                new(parts, self._size),
                new(parts, fan_in, self._particles),
                new(parts, self._particles),
                new(parts, 1),
            )
        return self._buffers

    def run(
        self,
        w: Tensor,
        a: Tensor,
        c: Tensor,
        *,
        scale: float,
        scale_factor: float = 1.0,
        coupling: Tensor | None = None,
        f: Tensor | None = None,
        grad_w: Tensor | None = None,
        grad_a: Tensor | None = None,
        bias: Tensor | None = None,
    ) -> None:
        """Network output and gradients of all chains.

        Parameters
        ----------
        w, a, c : Tensor
            (chains, fan_in, particles), (chains, particles), (chains, 0 or 1).
        scale : float
            f = scale · a · φ(w·x) + c.
        scale_factor : float
            Factor of ``grad_w`` and ``grad_a``.
        coupling : Tensor, optional
            s, (chains, particles).
        f : Tensor, optional
            Filled with the network output, (chains, samples).
        grad_w, grad_a : Tensor, optional
            Filled with k a_b Σ_μ (r_μ + s_b φ_bμ) φ'_bμ x_μ, (chains, fan_in, particles), and
            k Σ_μ (r_μ + s_b φ_bμ) φ_bμ, (chains, particles), k the scale factor: both or neither.
        bias : Tensor, optional
            Filled with Σ_μ r_μ, (chains, 1).
        """
        assert (grad_w is None) == (grad_a is None)
        n_train, fan_in = self._inputs.shape
        threads = _worth(n_train, fan_in, self._particles, self._chains)
        # Threads share whole chains if that divides evenly, otherwise the samples of each chain.
        parts = 1 if self._chains % threads == 0 else threads
        length = -(-n_train // (parts * _BLOCK)) * _BLOCK
        spans = [(at, min(at + length, n_train)) for at in range(0, n_train, length)]
        several = len(spans) > 1
        offsets = c.tolist() if c.shape[1] else [[0.0]] * self._chains
        # There are at most as many spans as threads.
        spaces, gradients, readouts, biases = self._prepare(threads)
        wanted = [(gradients, grad_w), (readouts, grad_a), (biases, bias)]

        w_at, a_at = _addresses(w), _addresses(a)
        s_at, f_at = _addresses(coupling), _addresses(f)
        gradient_at, readout_at, bias_at = (
            _addresses(parted if several and out is not None else out) for parted, out in wanted
        )
        inputs_at, labels_at = self._inputs.data_ptr(), self._labels.data_ptr()
        codes_at = None if self._codes is None else self._codes.data_ptr()
        space_at = _addresses(spaces)

        def piece(chain: int, part: int, space: int) -> None:
            out = part if several else chain
            self._run(
                inputs_at,
                codes_at,
                labels_at if grad_w is not None else None,
                w_at(chain),
                a_at(chain),
                s_at(chain),
                offsets[chain][0],
                scale,
                scale_factor,
                *spans[part],
                fan_in,
                self._particles,
                space_at(space),
                f_at(chain),
                gradient_at(out),
                readout_at(out),
                bias_at(out),
            )

        if several:
            for chain in range(self._chains):
                jobs = [
                    _helpers(threads).submit(piece, chain, part, part)
                    for part in range(1, len(spans))
                ]
                piece(chain, 0, 0)
                _finish(jobs)
                for parted, total in wanted:
                    if total is not None:
                        torch.sum(parted[: len(spans)], dim=0, out=total[chain])
            return

        def share(first: int) -> None:
            for chain in range(first, self._chains, threads):
                piece(chain, 0, first)

        jobs = [_helpers(threads).submit(share, first) for first in range(1, threads)]
        share(0)
        _finish(jobs)


def _codes(inputs: Tensor) -> Tensor | None:
    """Inputs of ±1 as codes of 5 bits, (samples, groups), with the first input in the lowest bit.

    None for other inputs, and if there are too few samples for a gain.
    """
    n_train, fan_in = inputs.shape
    if n_train < _WORTH_TABLES or not bool((inputs.abs() == 1).all()):
        return None
    groups = -(-fan_in // _GROUP)
    bits = torch.zeros(n_train, groups * _GROUP, dtype=torch.uint8)
    bits[:, :fan_in] = inputs > 0
    places = 2 ** torch.arange(_GROUP, dtype=torch.uint8)
    return (bits.view(n_train, groups, _GROUP) * places).sum(dim=2, dtype=torch.uint8)


def _finish(jobs: list[Future[Any]]) -> None:
    for job in jobs:
        job.result()
