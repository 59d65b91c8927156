from .adaptive import AdaptiveSGLD
from .base import Sampler, SamplerState
from .exchange import ReplicaExchange
from .gibbs import Gibbs
from .hmc import HMC
from .mala import MALA
from .minibatch import MiniBatchSGLD
from .preconditioned import PreconditionedSGLD
from .quantised import QuantisedLangevin
from .sgld import SGLD
from .underdamped import Underdamped

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
