"""Forward pass and gradient of a batch of networks on a data set, with compiled code if possible.

Otherwise torch computes them (:mod:`feature_learning.model.tiled_forward`).
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from functools import cached_property

from torch import Tensor

from feature_learning.model.parameters import Parameters
from feature_learning.model.tiled_forward import TiledForward
from feature_learning.native import ReluKernel


class Forward(TiledForward):
    """A :class:`TiledForward` that uses the compiled kernel if possible.

    The kernel supports ReLU in single precision on a CPU, with the memory layout of
    ``Student.views``; the results agree up to rounding. Arguments and errors are those of the base
    class.
    """

    @cached_property
    def kernel(self) -> ReluKernel | None:
        """The compiled kernel, created on first use; None if torch computes."""
        if not ReluKernel.takes(self.student.activation, self._inputs):
            return None
        return ReluKernel(self._inputs, self.labels, chains=self.chains, particles=self.particles)

    def refill(self, inputs: Tensor, labels: Tensor) -> None:
        """Replace the samples; the kernel encodes them anew."""
        super().refill(inputs, labels)
        if self.kernel is not None:
            self.kernel.read_inputs()

    def stepping(self) -> AbstractContextManager[None]:
        """Context in which many gradients are computed in sequence."""
        return nullcontext() if self.kernel is None else self.kernel.owns_the_threads()

    def predict(self, parameters: Parameters, out: Tensor | None = None) -> Tensor:
        """The network output f on every sample, (chains, samples)."""
        if out is None:
            out = parameters.w.new_empty(self.chains, len(self))
        w, a, c = parameters
        if self.kernel is None or not _laid_out(w, a, out):
            return super().predict(parameters, out)
        self.kernel.run(w.transpose(1, 2), a, c, scale=self.scale, f=out)
        return out

    def accumulate_gradients(
        self,
        parameters: Parameters,
        *,
        scale_factor: float,
        grad_w: Tensor,
        grad_a: Tensor,
        coupling: Tensor | None = None,
        bias: Tensor | None = None,
    ) -> None:
        """The sums of :meth:`TiledForward.accumulate_gradients`."""
        w, a, c = parameters
        if self.kernel is None or not _laid_out(w, a, grad_w, grad_a, coupling):
            super().accumulate_gradients(
                parameters,
                scale_factor=scale_factor,
                grad_w=grad_w,
                grad_a=grad_a,
                coupling=coupling,
                bias=bias,
            )
            return
        self.kernel.run(
            w.transpose(1, 2),
            a,
            c,
            scale=self.scale,
            scale_factor=scale_factor,
            coupling=coupling,
            grad_w=grad_w.transpose(1, 2),
            grad_a=grad_a,
            bias=bias,
        )


def _laid_out(w: Tensor, *others: Tensor | None) -> bool:
    """Whether the compiled kernel can read and write memory of this layout."""
    plain = all(
        other is None
        or (other.transpose(1, 2) if other.shape == w.shape else other).is_contiguous()
        for other in others
    )
    return plain and w.transpose(1, 2).is_contiguous()
