"""Samplers: one algorithm a module, all with the same functions ``init`` and ``advance``."""

from feature_learning.samplers.base import Sampler, SamplerState
from feature_learning.samplers.hmc import HMC
from feature_learning.samplers.mala import MALA
from feature_learning.samplers.sgld import SGLD
from feature_learning.samplers.underdamped import Underdamped

__all__ = ["HMC", "MALA", "SGLD", "Sampler", "SamplerState", "Underdamped"]
