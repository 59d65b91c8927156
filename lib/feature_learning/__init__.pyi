from .chains import ChainRun, run
from .collapsed import CollapsedEnergy
from .config import PointConfig
from .diagnostics import Convergence, ConvergenceRule
from .energies import ParticleEnergy, mean_field_energy, network_posterior
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
from .experiments import Point, run_point
from .field import Field
from .grid import read_grid
from .inference import sample
from .ladder import LadderEnergy
from .minibatch import MiniBatchEnergy
from .observables import Observer
from .paper import PARITY, SINGLE_INDEX, published
from .pool import run_points
from .priors import Ard
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
from .sampling import Sampling
from .stopping import StopWhenConverged
from .store import Store
from .student import Parameters, Student
from .teachers import Dataset, SingleIndex, SparseParity, draw
from .version import __version__

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
