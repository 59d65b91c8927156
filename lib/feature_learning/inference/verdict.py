r"""What a run of several chains has earned to be called, in one of three words.

* **agreed**: all chains meet the criterion
  (:class:`~feature_learning.inference.diagnostics.ConvergenceRule`) together, and do not all come
  from one planted code: from the prior, or from both, they have found each other.
* **agreed within a code**: at least four chains have sat in one code
  (:mod:`feature_learning.model.codes`) for as long as looks count, and meet the criterion among
  themselves, while no other chain has been in that code. Averages over these chains are averages
  over the posterior if their code outweighs the others: its evidence says so (sampler
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
#: Of the looks that count, in which a chain must have its code: a weight may dip below the
#: threshold for a moment.
_SHARE = 0.9


@dataclass(frozen=True)
class Verdict:
    """The word, and whose it is.

    Attributes
    ----------
    word : str
    chains : array (chains,) of bool
        Those that averages are over: all, or the ones that agree within a code.
    convergence : Convergence
        Of all chains together if they agree or nothing does, else of the ones within the code.
    """

    word: str
    chains: NDArray[np.bool_]
    convergence: Convergence

    def judged(self, convergence: Convergence) -> Verdict:
        """The same with all that there is to say on convergence, which may take the word back."""
        if convergence.converged:
            return replace(self, convergence=convergence)
        return Verdict(NOT_SETTLED, np.ones_like(self.chains), convergence)


def judge(series: Mapping[str, FloatArray], rule: ConvergenceRule) -> Verdict:
    """Judge series (chains, draws) past burn-in, one at least; without ``code`` two words are left.

    Of a batch of ladders every rung is in the batch, and its code is not looked at.
    """
    whole = rule.judge(dict(series))
    everyone = np.ones(next(iter(series.values())).shape[0], dtype=bool)
    codes = series.get("code")
    if codes is None or rule.rungs > 1 or not codes.shape[1]:
        return Verdict(AGREED if whole.converged else NOT_SETTLED, everyone, whole)
    own = _sitting(codes)
    names, counts = np.unique(own[own > 0], return_counts=True)
    together = own == names[counts.argmax()] if len(names) else ~everyone
    if whole.converged:
        # Of chains that were all put there, nothing says that others would come.
        return Verdict(WITHIN if rule.planted and together.all() else AGREED, everyone, whole)
    if together.any() and not (codes[~together] == own[together][0]).any():
        within = rule.judge({name: draws[together] for name, draws in series.items()})
        if within.converged and not together.all():
            return Verdict(WITHIN, together, within)
    return Verdict(NOT_SETTLED, everyone, whole)


def _sitting(codes: FloatArray) -> FloatArray:
    """The code of each chain, (chains,), if it had it at nearly all looks and has it now; or -1."""
    last = codes[:, -1]
    share = (codes == last[:, None]).mean(axis=1)
    return np.where(share >= _SHARE, last, -1.0)
