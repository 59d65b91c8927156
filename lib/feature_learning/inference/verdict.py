r"""The verdict on a run of several chains, one of three.

* **agreed**: all chains together meet the criterion
  (:class:`~feature_learning.inference.diagnostics.ConvergenceRule`), and they did not all start
  from one planted code: chains from the prior, or from both types of start, have come to agree.
* **agreed within a code**: at least four chains stayed in one code
  (:mod:`feature_learning.model.codes`) at nearly all measurements past burn-in, meet the criterion
  among themselves, and no other chain has been in that code. Averages over these chains are
  posterior averages if their code outweighs the others, which its evidence decides (sampler
  ``population``).
* **not settled**: everything else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from feature_learning.inference.diagnostics import Convergence, ConvergenceRule, FloatArray

AGREED, WITHIN, NOT_SETTLED = "agreed", "agreed within a code", "not settled"
#: Fraction of the measurements past burn-in at which a chain must have its code: a weight may fall
#: below the threshold briefly.
_SHARE = 0.9


@dataclass(frozen=True)
class Verdict:
    """The verdict, and the chains to which it applies.

    Attributes
    ----------
    word : str
    chains : array (chains,) of bool
        Chains that enter averages: all, or those that agree within a code.
    convergence : Convergence
        Diagnostics of the chains that agree within a code, otherwise of all chains together.
    """

    word: str
    chains: NDArray[np.bool_]
    convergence: Convergence

    def judged(self, convergence: Convergence) -> Verdict:
        """The verdict with complete diagnostics, which may revoke it."""
        if convergence.converged:
            return replace(self, convergence=convergence)
        return Verdict(NOT_SETTLED, np.ones_like(self.chains), convergence)


def judge(series: Mapping[str, FloatArray], rule: ConvergenceRule) -> Verdict:
    """Judge at least one series (chains, draws) past burn-in.

    Without a series ``code``, the verdict *agreed within a code* is not available. It is not
    available for ladders either: their codes are ignored, as the batch holds all replicas.
    """
    whole = rule.judge(dict(series))
    everyone = np.ones(next(iter(series.values())).shape[0], dtype=bool)
    codes = series.get("code")
    if codes is None or rule.replicas > 1 or not codes.shape[1]:
        return Verdict(AGREED if whole.converged else NOT_SETTLED, everyone, whole)
    own = _sitting(codes)
    names, counts = np.unique(own[own > 0], return_counts=True)
    together = own == names[counts.argmax()] if len(names) else ~everyone
    if whole.converged:
        # If all chains were planted there, nothing shows that others would reach the code.
        return Verdict(WITHIN if rule.planted and together.all() else AGREED, everyone, whole)
    if together.any() and not (codes[~together] == own[together][0]).any():
        within = rule.judge({name: draws[together] for name, draws in series.items()})
        if within.converged and not together.all():
            return Verdict(WITHIN, together, within)
    return Verdict(NOT_SETTLED, everyone, whole)


def _sitting(codes: FloatArray) -> FloatArray:
    """Last code of each chain, (chains,), if it had it at nearly all measurements, else -1."""
    last = codes[:, -1]
    share = (codes == last[:, None]).mean(axis=1)
    return np.where(share >= _SHARE, last, -1.0)
