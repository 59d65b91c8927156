"""Tables over samples and noise for the tests of figures."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from feature_learning.analysis.phase_table import COLUMNS, PhaseAxes


def table(*rows, sem=0.1, seeds=3, converged=True):
    """Rows of (samples, kappa, value)."""
    return pd.DataFrame([(*row, sem, seeds, converged) for row in rows], columns=list(COLUMNS))


GRID = PhaseAxes(np.array([100.0, 1000.0, 10_000.0]), np.array([0.001, 0.01]))


def axes():
    return Figure().add_subplot()
