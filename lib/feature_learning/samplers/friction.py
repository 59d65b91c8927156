r"""The friction of an underdamped sampler after burn-in, and what it costs to choose another one.

A mode of frequency ω (energy ω²x²/2, unit mass) at friction f forgets as::

    C(t) = e^(-ft/2) (cos Ωt + f/(2Ω) sin Ωt),   Ω² = ω² - f²/4

C is the autocorrelation of x, C² that of x². The integrated autocorrelation times 2∫C dt are::

    of x: 2f/ω²      of x²: 1/f + f/ω²

Too much friction and x diffuses over its width, too little and the energy x² cannot change; the
larger of the two is smallest at f = ω, where both are 2/ω, and the last trace of the start fades
fastest, as e^(-ωt), at f = 2ω (critical damping). So between ω and 2ω of the slowest mode little is
lost, and beyond it times grow in proportion to f.

Which mode is slowest? A parameter with prior variance s² that the data leave alone has ω² = T/s²,
and wherever the loss is convex it can only make modes stiffer. So the softest frequency is that of
the widest prior, ω₀ = √T/s (for the paper's readouts s = 1 and ω₀ = √2 κ), and::

    f = 2 ω₀ = 2 √T/s

is chosen: critical where the data are silent, the best there is for modes that they have made four
times stiffer, and within a quarter of the least τ of x² in between. No adaptation is needed, and
nothing depends on how a burn-in went.
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
        Whether the readouts move; not in the collapsed mean field and in Gibbs sampling.
    """
    widest = float(student.prior_variances(1, 1, readout=readout).max())
    return math.sqrt(2 / widest) * check_scale("kappa", kappa)


def automatic_friction(student: Student, *, kappa: float, readout: bool = True) -> float:
    """2 ω₀, rounded to two digits, since nothing depends on the third."""
    return float(f"{2 * softest_frequency(student, kappa=kappa, readout=readout):.2g}")


def harmonic_times(friction: float, frequency: float) -> tuple[float, float]:
    """Integrated autocorrelation times of x and of x² of a mode (module docstring)."""
    check_real("friction", friction, above=0)
    check_real("frequency", frequency, above=0)
    of_x = 2 * friction / frequency**2
    return of_x, 1 / friction + 0.5 * of_x
