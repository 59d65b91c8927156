"""The report on runs, as tables and as JSON: convergence of each run and agreement of several."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from feature_learning.analysis.chain_history import Agreement, ChainHistory
from feature_learning.experiments.flat import flat
from feature_learning.inference.diagnostics import ConvergenceRule, FloatArray, standard_error
from feature_learning.inference.verdict import AGREED, WITHIN
from feature_learning.model.teachers import name_of


def as_json(runs: Sequence[ChainHistory], compared: dict[str, Agreement]) -> dict[str, Any]:
    """The report as one JSON object, with None in place of NaN."""
    found = {
        "runs": [
            {
                "name": run.name,
                "agreement": run.verdict().word,
                "agreeing_chains": int(run.verdict().chains.sum()),
                "converged": run.verdict().word == AGREED,
                "not_converged_because": list(run.verdict().convergence.reasons),
                "finished": run.finished,
                "chains": len(run.starts),
                "starts": list(run.starts),
                "draws": int(run.counted.sum()),
                "langevin_time": float(run.times[-1]),
                "kinetic_temperature": run.kinetic_temperature,
                "observables": {
                    name: asdict(each) | {"resolved": each.resolved}
                    for name, each in run.report().items()
                },
                "means_by_chain": {
                    name: {"mean": draws.mean(axis=1).tolist(), "mcse": _errors(draws)}
                    for name, draws in run.past_burn_in().items()
                },
                "config": None if run.config is None else flat(run.config),
            }
            for run in runs
        ],
        "starts": {name: asdict(each) for name, each in compared.items()},
    }
    return {name: _without_nan(value) for name, value in found.items()}


def _errors(draws: FloatArray) -> list[float]:
    """Standard error of the mean of each chain, from its own draws alone."""
    return [standard_error(each[None]) for each in draws]


def _without_nan(value: Any) -> Any:
    """The same with None for every number that is not finite."""
    if isinstance(value, dict):
        return {name: _without_nan(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_without_nan(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def as_text(runs: Sequence[ChainHistory], compared: dict[str, Agreement]) -> str:
    """The report as text tables."""
    parts = [_run_text(run) for run in runs]
    if compared:
        parts.append(_comparison_text(compared))
    return "\n\n".join(parts)


def _run_text(run: ChainHistory) -> str:
    draws = int(run.counted.sum())
    lines = [f"{run.name}: {_what(run)}"]
    temperature = (
        "" if math.isnan(run.kinetic_temperature) else f", at {run.kinetic_temperature:.3f} T"
    )
    spacing = next(iter(run.report().values())).spacing
    lines.append(
        f"{len(run.starts)} chains of {draws} draws every {spacing:.3g} after burn-in, Langevin "
        f"time {run.times[-1]:.5g}{temperature}"
        + ("" if run.finished is not False else ", UNFINISHED")
    )
    head = f"{'':13}{'mean':>11}{'std. error':>12}{'R-hat':>8}{'ESS bulk':>10}{'ESS tail':>10}"
    lines.append(f"{head}{'time':>9}")
    for name, each in run.report().items():
        time = _digits(each.autocorrelation_time)
        numbers = [_digits(each.ess_bulk), _digits(each.ess_tail)]
        numbers.append(time if each.resolved else f"<{_digits(2 * each.spacing)}")
        error = f"{each.mcse:.2g}"
        if not each.agree:
            error, *numbers = (f"({number})" for number in (error, *numbers))
        bulk, tail, time = numbers
        lines.append(
            f"{name:13}{each.mean:>11.4g}{error:>12}{each.r_hat:>8.3f}{bulk:>10}{tail:>10}{time:>9}"
            + ("" if each.agree else "  chains disagree")
        )
    if "weight" in run.series:
        lines.append("draws are weighted; R-hat, ESS and MCSE ignore the weights")
    verdict = run.verdict()
    word = verdict.word
    if word == WITHIN:
        word += f": {verdict.chains.sum()} of {len(verdict.chains)} chains"
    lines.append("; ".join([word, *verdict.convergence.reasons]).replace("; ", ": ", 1))
    return "\n".join([*lines, "", *_by_chain(run)])


def _by_chain(run: ChainHistory) -> list[str]:
    """Mean of each chain with its own standard error, which shows chains that sit elsewhere."""
    past, observables = run.past_burn_in(), ConvergenceRule.observables
    watched = {name: draws for name, draws in past.items() if name in observables}
    neurons = run.series.get("specialised")
    head = "".join(f"{name:>22}" for name in watched)
    head += "" if neurons is None else "  specialised neurons"
    lines = [f"{'chain':6}{'start':9}{head}"]
    for chain, start in enumerate(run.starts):
        cells = ""
        for draws in watched.values():
            error = standard_error(draws[chain : chain + 1])
            cells += f"{draws[chain].mean():>11.4g} +- {error:<7.2g}"
        if neurons is not None:
            cells += f"{neurons[chain, run.counted].mean():>21.4g}"
        lines.append(f"{chain + 1:<6}{start:9}{cells}".rstrip())
    return lines


def _what(run: ChainHistory) -> str:
    config = run.config
    if config is None:
        return "a run without a configuration of this version"
    return (
        f"{config.method.name}, {name_of(config.teacher)} d={config.teacher.dim} "
        f"k={config.teacher.sparsity}, P={config.n_train}, kappa={config.kappa:g}, "
        f"{config.sampling.sampler.name} from {config.sampling.start}, seed {config.seed}"
    )


def _comparison_text(compared: dict[str, Agreement]) -> str:
    groups = list(next(iter(compared.values())).within)
    width = max(len("all together"), *map(len, groups)) + 2
    lines = [f"{'R-hat':{width}}" + "".join(f"{name:>12}" for name in compared)]
    for group in groups:
        values = "".join(f"{_hat(each.within[group]):>12}" for each in compared.values())
        lines.append(f"{group:{width}}{values}")
    lines.append(
        f"{'all together':{width}}"
        + "".join(f"{_hat(each.across):>12}" for each in compared.values())
    )
    disagree = [name for name, each in compared.items() if not each.agree]
    lines.append(
        f"the starts DISAGREE on {', '.join(disagree)}" if disagree else "the starts agree"
    )
    return "\n".join(lines)


def _hat(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"


def _digits(value: float) -> str:
    """A positive number to three digits, without an exponent."""
    return "-" if math.isnan(value) else f"{value:.0f}" if value >= 100 else f"{value:.3g}"
