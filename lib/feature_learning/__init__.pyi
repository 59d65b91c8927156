from .energies.ladder import LadderEnergy
from .energies.minibatch import MiniBatchEnergy
from .energies.particles import mean_field_energy, network_posterior
from .errors import FeatureLearningError
from .experiments.config import PointConfig
from .experiments.flat import configure
from .experiments.paper import published
from .experiments.point import run_point
from .experiments.posterior import posterior
from .inference.chains import run_chains
from .inference.diagnostics import ConvergenceRule
from .inference.observables import Observer
from .inference.sampling import sample
from .model.student import Student
from .model.teachers import SingleIndex, SparseParity, make_dataset
from .samplers import (
    HMC,
    MALA,
    SGLD,
    AdaptiveSGLD,
    Gibbs,
    MiniBatchSGLD,
    PreconditionedSGLD,
    QuantisedLangevin,
    ReplicaExchange,
    Underdamped,
)
from .samplers.options import SamplingOptions

__version__: str

__all__ = [
    "HMC",
    "MALA",
    "SGLD",
    "AdaptiveSGLD",
    "ConvergenceRule",
    "FeatureLearningError",
    "Gibbs",
    "LadderEnergy",
    "MiniBatchEnergy",
    "MiniBatchSGLD",
    "Observer",
    "PointConfig",
    "PreconditionedSGLD",
    "QuantisedLangevin",
    "ReplicaExchange",
    "SamplingOptions",
    "SingleIndex",
    "SparseParity",
    "Student",
    "Underdamped",
    "__version__",
    "configure",
    "make_dataset",
    "mean_field_energy",
    "network_posterior",
    "posterior",
    "published",
    "run_chains",
    "run_point",
    "sample",
]
