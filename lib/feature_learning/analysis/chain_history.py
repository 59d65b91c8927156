"""The draws of a run, read from its checkpoint, and the agreement between several runs.

The checkpoint of a run, finished or interrupted, holds its configuration and all measurements. The
same file therefore serves to resume a run and to assess its convergence.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from feature_learning.errors import ArgumentError, CheckpointError
from feature_learning.experiments.config import PointConfig
from feature_learning.experiments.flat import flat, options_of
from feature_learning.experiments.keys import canonical, configuration
from feature_learning.experiments.runs import AsPublished
from feature_learning.inference import checkpoints
from feature_learning.inference.diagnostics import ConvergenceRule, Diagnosis, r_hat, report
from feature_learning.inference.starts import start_of_each
from feature_learning.inference.verdict import Verdict, judge
from feature_learning.model.teachers import name_of

FloatArray = NDArray[np.float64]
#: Observables that are reported if a run has them.
REPORTED = ("m_S", "test_mse", "train_mse", "anisotropy")
#: Options of a method that do not change the sampled distribution.
_HOW = ("solver", "nngp_variant")
#: Fewest measurements after burn-in, since R-hat splits each chain in two.
_FEWEST = 4


@dataclass(frozen=True)
class ChainHistory:
    """Series of one run.

    Attributes
    ----------
    name : str
        Name that distinguishes the run from others.
    series : dict of array (chains, measurements)
        Every observable at every measurement.
    counted : array (measurements,) of bool
        True for measurements after burn-in.
    times : array (measurements,)
        Langevin time of each measurement.
    starts : tuple of str
        Start of each chain: ``prior``, ``planted``, or ``?`` if the file does not say.
    kinetic_temperature : float
        In units of T, averaged over the measurements after burn-in; NaN for overdamped samplers.
    finished : bool or None
        Whether the run reached its end; None if the file does not say where the end is.
    config : PointConfig or None
        The configuration; None if the file has none that this version knows.
    """

    name: str
    series: dict[str, FloatArray]
    counted: NDArray[np.bool_]
    times: FloatArray
    starts: tuple[str, ...]
    kinetic_temperature: float
    finished: bool | None
    config: PointConfig | None

    def past_burn_in(self) -> dict[str, FloatArray]:
        """The reported observables, (chains, draws)."""
        return {
            name: self.series[name][:, self.counted] for name in REPORTED if name in self.series
        }

    def report(self) -> dict[str, Diagnosis]:
        """The diagnosis of each reported observable."""
        return report(self.past_burn_in(), self.times[self.counted])

    def verdict(self) -> Verdict:
        """The verdict of the run in the file, see :mod:`feature_learning.inference.verdict`."""
        rule = ConvergenceRule(planted=set(self.starts) == {"planted"})
        found = judge({name: each[:, self.counted] for name, each in self.series.items()}, rule)
        judged = found.convergence.of_run(
            self.kinetic_temperature, interrupted=self.finished is False
        )
        snapshot = self.config is not None and isinstance(self.config.run, AsPublished)
        return found.judged(judged.of_snapshot() if snapshot else judged)


def read_draws(path: Path | str, *, name: str | None = None) -> ChainHistory:
    """Read the draws in a checkpoint; ``name`` defaults to the stem of the file.

    Raises
    ------
    CheckpointError
        If the file does not exist, is damaged or is not the checkpoint of a run, or if it holds
        fewer than two chains or four measurements after burn-in.
    """
    path = Path(path)
    if not path.exists():
        raise CheckpointError(f"there is no checkpoint {path}")
    arrays, fingerprint = checkpoints.read(path)
    try:
        series = {
            name.removeprefix("series."): np.asarray(values, dtype=np.float64)
            for name, values in arrays.items()
            if name.startswith("series.")
        }
        counted = np.asarray(arrays["counted"], dtype=bool)
        times, temperatures = arrays["times"], arrays["temperatures"]
        chains, stopped = (
            len(arrays["final_measurement"]),
            bool((arrays["final_measurement"] >= 0).all()),
        )
        finished = stopped or int(arrays["counters"][0]) >= int(arrays["planned"])
        shape = (chains, len(times))
        if len(counted) != shape[1] or any(each.shape != shape for each in series.values()):
            raise ValueError("its series do not fit together")
        judged = temperatures[counted & np.isfinite(temperatures)]
        temperature = float(judged.mean()) if len(judged) else math.nan
    except (KeyError, ValueError, TypeError, IndexError) as error:
        raise CheckpointError(f"checkpoint {path} holds no run ({error})") from error
    config = _configuration(fingerprint)
    replicas = 1 if config is None else len(config.kappas)
    if replicas > 1:
        # Only the first replica of a ladder samples the requested distribution.
        series = {name: draws[::replicas] for name, draws in series.items()}
        chains //= replicas
    if chains < 2:
        raise CheckpointError(
            f"checkpoint {path} holds {chains} chain: R-hat compares at least 2 "
            "(point --chains; 4 for the convergence criterion)"
        )
    if (measurements := int(counted.sum())) < _FEWEST or not series.keys() & set(REPORTED):
        raise CheckpointError(
            f"checkpoint {path} holds {measurements} measurements after burn-in: at least "
            f"{_FEWEST} are needed"
        )
    return ChainHistory(
        name=path.stem if name is None else name,
        series=series,
        counted=counted,
        times=times,
        starts=("?",) * chains if config is None else start_of_each(flat(config)["start"], chains),
        kinetic_temperature=temperature,
        finished=None if config is None else finished,
        config=config,
    )


def _configuration(fingerprint: dict[str, Any]) -> PointConfig | None:
    """The configuration of a fingerprint, if it is one of this version's."""
    fields = {name: value for name, value in fingerprint.items() if name != "version"}
    try:
        config = configuration(fields)
    except (TypeError, ArgumentError):
        return None
    return config if canonical(config) == fields else None


@dataclass(frozen=True)
class Agreement:
    """Whether chains from different starts, or of different runs, agree.

    Attributes
    ----------
    within : dict of float
        R-hat of the chains of each group (a start of one run); NaN for a single chain.
    across : float
        R-hat of all chains of all groups.
    agree : bool
        True if ``across`` is below the threshold.
    """

    within: dict[str, float]
    across: float
    agree: bool


def compare(runs: Sequence[ChainHistory], *, threshold: float = 1.01) -> dict[str, Agreement]:
    """Compare the starts of one run, or of several runs that sample the same distribution.

    Longer runs are thinned evenly to the number of draws of the shortest. (Runs of one seed share
    their noise, even if their starts differ: use ``start="spread"`` for independent chains.)

    Parameters
    ----------
    runs : sequence of Draws
    threshold : float
        Threshold of R-hat.

    Returns
    -------
    dict
        Agreement by observable; empty for one run with one start, which leaves nothing to compare.

    Raises
    ------
    ArgumentError
        If two runs have the same name or sample different distributions, or if a run does not
        contain its configuration.
    """
    _check_comparable(runs)
    if len({(run.name, start) for run in runs for start in run.starts}) < 2:
        return {}
    labels = [label for run in runs for label in chain_groups(run, several=len(runs) > 1)]
    found: dict[str, Agreement] = {}
    for name in REPORTED:
        if not all(name in run.series for run in runs):
            continue
        draws = pooled(runs, name)
        groups = {
            label: r_hat(draws[[each == label for each in labels]])
            for label in dict.fromkeys(labels)
        }
        across = r_hat(draws)
        found[name] = Agreement(groups, across, across < threshold)
    return found


def chain_groups(run: ChainHistory, *, several: bool) -> list[str]:
    """Group of each chain: its start, preceded by the name of the run if there are several."""
    return [f"{run.name}: {start}" if several else start for start in run.starts]


def pooled(runs: Sequence[ChainHistory], name: str) -> FloatArray:
    """Draws of an observable after burn-in, of all chains, thinned to the shortest run."""
    fewest = min(int(run.counted.sum()) for run in runs)
    return np.concatenate([_thinned(run.past_burn_in()[name], fewest) for run in runs])


def _thinned(draws: FloatArray, count: int) -> FloatArray:
    """``count`` evenly spaced draws, including the last one."""
    spaced = np.arange(1, count + 1) * draws.shape[1] / count
    return np.asarray(draws[:, np.round(spaced).astype(int) - 1])


def _check_comparable(runs: Sequence[ChainHistory]) -> None:
    """Refuse runs that sample different distributions, or have the same name."""
    name, count = Counter(run.name for run in runs).most_common(1)[0]
    if count > 1:
        raise ArgumentError(f"runs must have different names, not {name} {count} times")
    distributions = [_distribution(run) for run in runs] if len(runs) > 1 else []
    for run, law in zip(runs[1:], distributions[1:], strict=True) if distributions else ():
        for field, value in law.items():
            if value != distributions[0][field]:
                raise ArgumentError(
                    f"runs must sample the same distribution: {field} is {value!r} in {run.name}, "
                    f"{distributions[0][field]!r} in {runs[0].name}"
                )


def _distribution(run: ChainHistory) -> dict[str, Any]:
    if run.config is None:
        raise ArgumentError(
            f"{run.name} does not say what it sampled, so it cannot be compared with other runs"
        )
    config = run.config
    law = {"teacher": name_of(config.teacher), "method": config.method.name}
    for part in (config, config.teacher, config.network, config.method):
        law |= {name: getattr(part, name) for name in options_of(type(part)) if name not in _HOW}
    return law | {"particles": config.particles}
