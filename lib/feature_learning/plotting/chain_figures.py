"""Figures of several runs: traces and ranks of the observables of the convergence criterion."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from feature_learning.analysis.chain_history import ChainHistory, chain_groups, pooled
from feature_learning.inference.diagnostics import ConvergenceRule
from feature_learning.plotting.chain_plots import rank_plot, trace_plot

_NAMES = {"m_S": "$m_S$", "test_mse": "test MSE"}


def _drawn(runs: Sequence[ChainHistory]) -> list[str]:
    """The observables of the convergence criterion that all runs have."""
    return [name for name in ConvergenceRule.observables if all(name in run.series for run in runs)]


def trace_figure(runs: Sequence[ChainHistory]) -> Figure:
    """Traces of the criterion's observables: a row for each, a column for each run."""
    names = _drawn(runs)
    figure = Figure(figsize=(max(8.0, 4.5 * len(runs)), 2.8 * len(names)), layout="constrained")
    axes = figure.subplots(len(names), len(runs), squeeze=False, sharey="row")
    for row, name in zip(axes, names, strict=True):
        for ax, run in zip(row, runs, strict=True):
            trace_plot(
                ax, run.series[name], run.times, run.counted, run.starts,
                ylabel=_NAMES[name], log_y=name == "test_mse",
            )  # fmt: skip
    for ax, run in zip(axes[0], runs, strict=True):
        ax.set_title(run.name, fontsize=11)
        ax.legend(ncols=2, title="chain: start")
    return figure


def rank_figure(runs: Sequence[ChainHistory]) -> Figure:
    """Ranks of the criterion's observables among the draws of all runs: a column for each."""
    names = _drawn(runs)
    labels = [label for run in runs for label in chain_groups(run, several=len(runs) > 1)]
    figure = Figure(figsize=(9.0, 1.2 + 0.55 * len(labels)), layout="constrained")
    axes = figure.subplots(1, len(names), squeeze=False)[0]
    for ax, name in zip(axes, names, strict=True):
        rank_plot(ax, pooled(runs, name), labels, title=_NAMES[name])
    return figure
