r"""The friction of an underdamped sampler after burn-in, and the cost of other values.

The autocorrelation of a mode of frequency ω (energy ω²x²/2, unit mass) at friction f is::

    C(t) = e^(-ft/2) (cos Ωt + f/(2Ω) sin Ωt),   Ω² = ω² - f²/4

C is the autocorrelation of x, C² that of x². The integrated autocorrelation times 2∫C dt are::

    of x: 2f/ω²      of x²: 1/f + f/ω²

With too much friction x diffuses over its width; with too little the energy x² cannot change. The
larger of the two times is smallest at f = ω, where both are 2/ω. The memory of the start decays
fastest, as e^(-ωt), at f = 2ω (critical damping). So any f between ω and 2ω of the slowest mode is
close to optimal, and above 2ω the times grow in proportion to f.

Which mode is slowest? A parameter with prior variance s² on which the data do not depend has
ω² = T/s², and a convex loss can only make modes stiffer. So the softest frequency is that of the
widest prior, ω₀ = √T/s (for the paper's readouts s = 1 and ω₀ = √2 κ), and the choice is::

    f = 2 ω₀ = 2 √T/s

It is critical for modes without data, optimal for modes of four times that stiffness, and within a
quarter of the least τ of x² in between. No adaptation is needed, and nothing depends on the burn-in
of a particular run.
"""

from __future__ import annotations

import math

from feature_learning.errors import check_real, check_scale
from feature_learning.model.student import Student


def softest_frequency(student: Student, *, kappa: float, readout: bool = True) -> float:
    """ω₀ = √T/s of the widest prior among the parameters that move.

    Parameters
    ----------
    student : Student
    kappa : float
        Noise scale; T = 2κ².
    readout : bool
        Whether the readouts move; False for the collapsed mean field and Gibbs sampling.
    """
    widest = float(student.prior_variances(1, 1, readout=readout).max())
    return math.sqrt(2 / widest) * check_scale("kappa", kappa)


def automatic_friction(student: Student, *, kappa: float, readout: bool = True) -> float:
    """Friction 2 ω₀, rounded to two digits, since nothing depends on the third."""
    return float(f"{2 * softest_frequency(student, kappa=kappa, readout=readout):.2g}")


def harmonic_times(friction: float, frequency: float) -> tuple[float, float]:
    """Integrated autocorrelation times of x and of x² of a mode (module docstring)."""
    check_real("friction", friction, above=0)
    check_real("frequency", frequency, above=0)
    of_x = 2 * friction / frequency**2
    return of_x, 1 / friction + 0.5 * of_x
