"""Feature learning in two-layer networks: posterior, mean field, MF-ARD and the kernel limit.

The public API is what is listed here; see the API page of the book.
"""

from feature_learning.chains import ChainRun, run
from feature_learning.collapsed import CollapsedEnergy
from feature_learning.config import PointConfig
from feature_learning.diagnostics import Convergence, ConvergenceRule
from feature_learning.energies import ParticleEnergy, mean_field_energy, network_posterior
from feature_learning.errors import (
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
from feature_learning.experiments import Point, run_point
from feature_learning.field import Field
from feature_learning.grid import read_grid
from feature_learning.inference import sample
from feature_learning.ladder import LadderEnergy
from feature_learning.minibatch import MiniBatchEnergy
from feature_learning.observables import Observer
from feature_learning.pool import run_points
from feature_learning.priors import Ard
from feature_learning.published import PARITY, SINGLE_INDEX, published
from feature_learning.samplers import (
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
from feature_learning.sampling import Sampling
from feature_learning.stopping import StopWhenConverged
from feature_learning.store import Store
from feature_learning.student import Parameters, Student
from feature_learning.teachers import Dataset, SingleIndex, SparseParity, draw
from feature_learning.version import __version__

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
