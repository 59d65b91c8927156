from .energies.collapsed import CollapsedEnergy
from .energies.ladder import LadderEnergy
from .energies.minibatch import MiniBatchEnergy
from .energies.particles import ParticleEnergy, mean_field_energy, network_posterior
from .errors import (
    ArgumentError,
    CheckpointError,
    ConvergenceError,
    DeviceError,
    DivergenceError,
    EquipartitionError,
    FeatureLearningError,
    GridError,
    StoreError,
    WorkerError,
)
from .experiments.config import PointConfig
from .experiments.paper import PARITY, SINGLE_INDEX, published
from .experiments.point import run_point
from .experiments.row import Point
from .inference.chains import ChainRun, run
from .inference.diagnostics import Convergence, ConvergenceRule
from .inference.observables import Observer
from .inference.sampling import sample
from .inference.stopping import StopWhenConverged
from .model.field import Field
from .model.parameters import Parameters
from .model.priors import Ard
from .model.student import Student
from .model.teachers import Dataset, SingleIndex, SparseParity, draw
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
from .samplers.options import Sampling
from .sweeps.grid import read_grid
from .sweeps.pool import run_points
from .sweeps.store import Store

__version__: str

__all__ = [
    "HMC",
    "MALA",
    "PARITY",
    "SGLD",
    "SINGLE_INDEX",
    "AdaptiveSGLD",
    "Ard",
    "ArgumentError",
    "ChainRun",
    "CheckpointError",
    "CollapsedEnergy",
    "Convergence",
    "ConvergenceError",
    "ConvergenceRule",
    "Dataset",
    "DeviceError",
    "DivergenceError",
    "EquipartitionError",
    "FeatureLearningError",
    "Field",
    "Gibbs",
    "GridError",
    "LadderEnergy",
    "MiniBatchEnergy",
    "MiniBatchSGLD",
    "Observer",
    "Parameters",
    "ParticleEnergy",
    "Point",
    "PointConfig",
    "PreconditionedSGLD",
    "QuantisedLangevin",
    "ReplicaExchange",
    "Sampling",
    "SingleIndex",
    "SparseParity",
    "StopWhenConverged",
    "Store",
    "StoreError",
    "Student",
    "Underdamped",
    "WorkerError",
    "__version__",
    "draw",
    "mean_field_energy",
    "network_posterior",
    "published",
    "read_grid",
    "run",
    "run_point",
    "run_points",
    "sample",
]
