r"""The student: a two-layer network, its parameters and its prior.

The student is::

    f(x) = N^(-γ) Σ_{i=1..N} a_i φ(w_i·x + b_i) + c

with a_i ~ N(0, σ_a²), w_ij ~ N(0, σ_w²/d) and, optionally, hidden biases b_i and an output bias c
with their own prior variances. A hidden bias is one more weight, on a constant input of 1.

All parameters are stored in ONE flat vector, so that a sampler consists of a few element-wise
operations; ``Student.views`` presents the same memory as w: (chains, particles, fan_in), a:
(chains, particles) and c: (chains, 1). In memory the particles of w are the last axis (w is a
transposed view).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from feature_learning.choices import ACTIVATIONS, option
from feature_learning.errors import (
    ArgumentError,
    check_choice,
    check_integer,
    check_real,
    check_scale,
    store_plain,
)
from feature_learning.model.parameters import Parameters

# Configurations import this module, and torch takes seconds to import: import it on first use.
if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from feature_learning.model.activations import Activation


@dataclass(frozen=True)
class Network:
    """Architecture and prior of a two-layer network, without the dimension of its inputs.

    Parameters
    ----------
    width : int
        Number of hidden neurons N.
    gamma : float
        Exponent of the output scale N^(-γ); 1/2 in the paper, 1 in mean-field scaling.
    activation : str
        relu, erf, tanh, sigmoid or linear.
    weight_variance, readout_variance : float
        σ_w² (a weight has variance σ_w²/d) and σ_a².
    hidden_bias_variance, output_bias_variance : float or None
        Prior variances of b_i and c; None means there is no such bias.

    Raises
    ------
    ArgumentError
        If a size or a variance is out of range.
    """

    width: int = option(512, "hidden neurons N")
    gamma: float = option(0.5, "output scale N^-gamma")
    activation: str = option("relu", "activation", allowed=ACTIVATIONS)
    weight_variance: float = option(1.0, "prior variance V/d of a weight", metavar="V")
    readout_variance: float = option(1.0, "prior variance of a_i", metavar="V")
    hidden_bias_variance: float | None = option(
        None, "prior variance of b_i (no hidden bias)", metavar="V"
    )
    output_bias_variance: float | None = option(
        None, "prior variance of c (no output bias)", metavar="V"
    )

    def __post_init__(self) -> None:
        store_plain(self)
        check_integer("width", self.width, at_least=1)
        check_real("gamma", self.gamma, at_least=0, at_most=2)
        check_choice("activation", self.activation, ACTIVATIONS)
        check_scale("weight_variance", self.weight_variance)
        check_scale("readout_variance", self.readout_variance)
        if self.hidden_bias_variance is not None:
            check_scale("hidden_bias_variance", self.hidden_bias_variance)
        if self.output_bias_variance is not None:
            check_scale("output_bias_variance", self.output_bias_variance)


@dataclass(frozen=True, kw_only=True)
class Student(Network):
    """A network for inputs of a given dimension.

    Parameters
    ----------
    dim : int
        Input dimension d.
    tilt : float
        Factor of the prior variance of the first ``tilted`` weights of each neuron: a field on the
        coordinates of the target (:mod:`feature_learning.theory.free_energy`).
    tilted : int
        Number of these weights.

    Raises
    ------
    ArgumentError
        If a size or a variance is out of range.
    """

    dim: int
    tilt: float = 1.0
    tilted: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_integer("dim", self.dim, at_least=1)
        check_scale("tilt", self.tilt)
        check_integer("tilted", self.tilted, at_least=0, at_most=self.dim)

    @property
    def phi(self) -> Activation:
        """The activation."""
        from feature_learning.model.activations import activation

        return activation(self.activation)

    @property
    def fan_in(self) -> int:
        """Number of weights of a hidden neuron: d, or d + 1 with a hidden bias."""
        return self.dim + (self.hidden_bias_variance is not None)

    @property
    def scale(self) -> float:
        """Output scale N^(-γ)."""
        return math.pow(self.width, -self.gamma)

    def size(self, chains: int, particles: int, *, readout: bool = True) -> int:
        """Length of the flat parameter vector."""
        per_chain = particles * (self.fan_in + readout) + (self.output_bias_variance is not None)
        return chains * per_chain

    def views(
        self, flat: Tensor, chains: int, particles: int, *, readout: bool = True
    ) -> Parameters:
        """The same memory as :class:`Parameters`; ``flat`` is parameter-major, then chain-major."""
        weights = chains * particles * self.fan_in
        readouts = chains * particles * readout
        return Parameters(
            # Particles are the last axis in memory: matrix products are fastest in this layout.
            flat[:weights].view(chains, self.fan_in, particles).transpose(1, 2),
            flat[weights : weights + readouts].view(chains, particles * readout),
            flat[weights + readouts :].view(chains, -1),
        )

    def features(self, w: Tensor, inputs: Tensor) -> Tensor:
        """φ(w_i·x + b_i) of each neuron on each input.

        Parameters
        ----------
        w : Tensor (..., particles, fan_in)
            Hidden weights; with a hidden bias, b_i is the last column.
        inputs : Tensor (samples, dim)

        Returns
        -------
        Tensor (..., particles, samples)

        Raises
        ------
        ArgumentError
            If the shapes do not fit the network.
        """
        if inputs.dim() != 2 or inputs.shape[1] != self.dim:
            raise ArgumentError(
                f"inputs must be (samples, dim = {self.dim}), not {tuple(inputs.shape)}"
            )
        if w.dim() < 2 or w.shape[-1] != self.fan_in:
            raise ArgumentError(
                f"w must be (..., particles, fan_in = {self.fan_in}), not {tuple(w.shape)}"
            )
        z = w[..., : self.dim] @ inputs.t()
        if self.hidden_bias_variance is not None:
            z = z + w[..., self.dim :]
        return self.phi.function(z)

    def forward(
        self, parameters: Parameters | Tensor, inputs: Tensor, *, scale: float | None = None
    ) -> Tensor:
        r"""The output of each network on each input, differentiable and without tiles.

        It is::

            f(x) = N^(-γ) Σ_i a_i φ(w_i·x + b_i) + c

        A run computes the same in :class:`~feature_learning.model.forward.Forward`, to rounding.

        Parameters
        ----------
        parameters : Parameters or Tensor
            w (chains, particles, fan_in), a (chains, particles) and c (chains, 0 or 1), or the flat
            vector of any number of networks with ``width`` neurons.
        inputs : Tensor (samples, dim)
            On the device and in the precision of the parameters.
        scale : float, optional
            In place of N^(-γ): the ``scale`` of an energy of M particles.

        Returns
        -------
        Tensor (chains, samples)
            In the units of the labels.

        Raises
        ------
        ArgumentError
            If the shapes do not fit the network.
        """
        if not isinstance(parameters, Parameters):
            chains, left = divmod(parameters.numel(), self.size(1, self.width))
            if left or parameters.dim() != 1:
                raise ArgumentError(
                    f"parameters must be a flat vector of a multiple of {self.size(1, self.width)} "
                    f"numbers, not of shape {tuple(parameters.shape)}"
                )
            parameters = self.views(parameters, chains, self.width)
        w, a, c = parameters
        features = self.features(w, inputs)
        f = (self.scale if scale is None else scale) * (a.unsqueeze(2) * features).sum(dim=1)
        return f + c if c.shape[1] else f

    def prior_variances(
        self,
        chains: int,
        particles: int,
        *,
        readout: bool = True,
        dtype: torch.dtype | None = None,
        device: str | torch.device = "cpu",
    ) -> Tensor:
        """Prior variance of each entry of the flat vector."""
        import torch

        flat = torch.empty(
            self.size(chains, particles, readout=readout),
            dtype=torch.float32 if dtype is None else dtype,
            device=device,
        )
        w, a, c = self.views(flat, chains, particles, readout=readout)
        w.fill_(self.weight_variance / self.dim)
        w[..., : self.tilted].mul_(self.tilt)
        if self.hidden_bias_variance is not None:
            w[..., self.dim :].fill_(self.hidden_bias_variance)
        a.fill_(self.readout_variance)
        c.fill_(self.output_bias_variance or 0.0)
        return flat

    def sample_prior(
        self,
        chains: int,
        particles: int,
        random: torch.Generator,
        *,
        readout: bool = True,
        dtype: torch.dtype | None = None,
        device: str | torch.device = "cpu",
    ) -> Tensor:
        """Independent draws from the prior, as a flat vector; drawn on the CPU in float32."""
        import torch

        deviations = self.prior_variances(chains, particles, readout=readout).sqrt_()
        start = torch.randn(
            deviations.shape, generator=random, dtype=torch.float32, device="cpu"
        ).mul_(deviations)
        return start.to(device, torch.float32 if dtype is None else dtype)
