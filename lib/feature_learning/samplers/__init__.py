"""Samplers: one algorithm a module, all with the same functions ``init`` and ``advance``."""

from feature_learning.samplers.adaptive import AdaptiveSGLD
from feature_learning.samplers.base import Sampler, SamplerState
from feature_learning.samplers.exchange import ReplicaExchange
from feature_learning.samplers.gibbs import Gibbs
from feature_learning.samplers.hmc import HMC
from feature_learning.samplers.mala import MALA
from feature_learning.samplers.minibatch import MiniBatchSGLD
from feature_learning.samplers.preconditioned import PreconditionedSGLD
from feature_learning.samplers.quantised import QuantisedLangevin
from feature_learning.samplers.sgld import SGLD
from feature_learning.samplers.underdamped import Underdamped

__all__ = [
    "HMC",
    "MALA",
    "SGLD",
    "AdaptiveSGLD",
    "Gibbs",
    "MiniBatchSGLD",
    "PreconditionedSGLD",
    "QuantisedLangevin",
    "ReplicaExchange",
    "Sampler",
    "SamplerState",
    "Underdamped",
]
