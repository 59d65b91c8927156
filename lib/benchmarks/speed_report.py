"""The measurements of speed in words, for the README and for the page of the book."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from textwrap import fill

import pandas as pd

from benchmarks.speed import DYNAMICS, LABELS, OURS, UNKNOWN, select, value
from book_tools.errors import BookError
from feature_learning.analysis.texts import ABSENT, number_text

START, END = "<!-- speed: written by `make bench BENCH=full` -->", "<!-- end of speed -->"
"""Lines of the README that enclose the text of :func:`render`."""
#: The range of the rounds is shown beside their median if it exceeds this factor.
_UNSTEADY = 1.5
#: Characters in a line of the README.
_WIDTH = 120


def gain(
    frame: pd.DataFrame, observable: str, among: Sequence[str] = ("sgld",)
) -> tuple[float, str, str]:
    """Ratio of effective samples per second: our underdamped dynamics over the fastest peer.

    Parameters
    ----------
    among
        Dynamics of the peers.

    Returns
    -------
    ratio : float
        NaN if there is no peer, or if our number is only an upper bound.
    bound : str
        ``at least`` if the peer's number is an upper bound, else empty.
    peer : str
        Package and dynamics of the fastest peer.
    """
    rates = select(frame, "ess_rate", observable=observable)
    ours = rates[(rates["package"] == OURS) & (rates["dynamics"] == "underdamped")]
    peers = rates[(rates["package"] != OURS) & rates["dynamics"].isin(among)]
    if not len(ours) or not len(peers) or not pd.isna(ours["bound"].iloc[0]):
        return math.nan, "", ""
    best = peers.loc[peers["value"].idxmax()]
    bound = "" if pd.isna(best["bound"]) else "at least"
    peer = f"{LABELS[best['package']]}, {DYNAMICS[best['dynamics']]}"
    return float(ours["value"].iloc[0] / best["value"]), bound, peer


def provenance(frame: pd.DataFrame) -> str:
    """The origin of the numbers, in one sentence."""
    first = frame.iloc[0]
    packages = frame[["package", "version"]].drop_duplicates()
    versions = ", ".join(
        f"{LABELS[name].removesuffix('.mm')} {version}"
        for name, version in packages.itertuples(index=False)
    )
    return (
        f"Measured on {str(first['date_utc'])[:10]} on {first['cpu']}, {first['cores']} cores, "
        f"{first['threads']} threads per package, load {first['load']:.1f} at the start; "
        f"revision {str(first['revision'])[:12]}; {versions}."
    )


def render(frame: pd.DataFrame | None) -> str:
    """The README's part as Markdown: our time per step and that of the fastest peer."""
    if frame is None:
        return UNKNOWN
    steps = select(frame, "step_time")
    chains = steps["chains"].max()
    kinds = [kind for kind in DYNAMICS if (steps["dynamics"] == kind).any()]
    heads = [f"{DYNAMICS[kind]}, ours | fastest peer" for kind in kinds]
    lines = [f"| P ({chains} chains) | {' | '.join(heads)} |", "|---" * (2 * len(kinds) + 1) + "|"]
    for n_train, case in steps[steps["chains"] == chains].groupby("n_train"):
        cells = [_pair(case[case["dynamics"] == kind]) for kind in kinds]
        lines.append(f"| {n_train} | {' | '.join(cells)} |")
    text = f"{_closest(steps)}{provenance(frame)}"
    return "\n".join([*lines, "", fill(text, _WIDTH, break_on_hyphens=False)])


def findings(frame: pd.DataFrame | None) -> str:
    """The results of the measurements in sentences, as Markdown."""
    return UNKNOWN if frame is None else "\n".join([*_sentences(frame), "", provenance(frame)])


def _number(rows: pd.DataFrame) -> str:
    """The time of a case, with its range if the rounds differ much."""
    if not len(rows):
        return ABSENT
    median, low, high = (float(rows[name].iloc[0]) for name in ("value", "low", "high"))
    spread = f" ({low:.0f} to {high:.0f})" if high > _UNSTEADY * low else ""
    return f"{median:.0f}{spread}"


def _pair(case: pd.DataFrame) -> str:
    """Two cells of the table: our time, and the fastest peer with its time."""
    ours, peers = case[case["package"] == OURS], case[case["package"] != OURS]
    fastest = peers.nsmallest(1, "value")
    label = f"{LABELS[fastest['package'].iloc[0]]} " if len(fastest) else ""
    return f"{_number(ours)} | {label}{_number(fastest)}"


def _closest(steps: pd.DataFrame) -> str:
    """The smallest ratio of a peer's time to ours in the same case, in one sentence."""
    same = ["dynamics", "n_train", "chains"]
    pairs = steps.merge(steps[steps["package"] == OURS], on=same, suffixes=("", "_ours"))
    pairs = pairs[pairs["package"] != OURS]
    if not len(pairs):
        return ""
    row = pairs.loc[(pairs["value"] / pairs["value_ours"]).idxmin()]
    return (
        f"In the closest case, {DYNAMICS[row['dynamics']]} at P = {row['n_train']} with "
        f"{row['chains']} {'chain' if row['chains'] == 1 else 'chains'}, a step of "
        f"{LABELS[row['package']]} takes {row['value'] / row['value_ours']:.2f} times as long as "
        "one of this library. "
    )


def _sentences(frame: pd.DataFrame) -> Iterator[str]:
    shares = select(frame, "matrix_share", package=OURS, dynamics="sgld")
    if len(shares):
        rate = value(frame, "matrix_rate")
        low, high = 100 * shares["value"].min(), 100 * shares["value"].max()
        yield (
            f"* If only the two matrix products of a step are counted, this library's SGLD runs at "
            f"{low:.0f} to {high:.0f} % of the rate of a large matrix product here "
            f"({rate:.0f} GFLOP/s). More than 100 % is possible: the two products are counted in "
            "full, but tables of partial sums for inputs of ±1 need fewer operations."
        )
    rates = select(frame, "cell_rate")
    if len(rates):
        most = rates[rates["chains"] == rates["chains"].max()]
        texts = [
            f"{number_text(row['value'])} at P = {row['n_train']}"
            for row in most.to_dict("records")
        ]
        yield (
            "* Cells of the published protocol per minute (a cell is one chain of SGLD with "
            f"{most['setting'].iloc[0]}; {most['chains'].iloc[0]} at a time, without "
            f"measurements): {', '.join(texts)}."
        )
    for observable in ("m_S", "median readout", "slowest readout"):
        ratio, bound, _ = gain(frame, observable)
        if math.isnan(ratio):
            continue
        name = "$m_S$" if observable == "m_S" else f"the {observable} weight"
        n_train = select(frame, "ess_rate")["n_train"].iloc[0]
        overall, its_bound, peer = gain(frame, observable, tuple(DYNAMICS))
        yield (
            f"* Effective samples of {name} per second at P = {n_train}: our underdamped dynamics "
            f"has {_times(ratio, bound)} those of the fastest peer's SGLD, and "
            f"{_times(overall, its_bound)} those of the fastest peer of any dynamics ({peer})."
        )
    yield from _settling(frame)


def _settling(frame: pd.DataFrame) -> Iterator[str]:
    """The time of each package until chains have settled, and its rate of effective samples."""
    watched = {"m_S": "$m_S$", "test_mse": "the test MSE"}
    for row in select(frame, "settling_time").to_dict("records"):
        who = f"{LABELS[row['package']]}, {DYNAMICS[row['dynamics']]}"
        text = f"{'not within ' if row['bound'] == 'at least' else ''}{row['value']:.0f} s"
        if row["package"] == OURS:
            where = f"P = {row['n_train']}, κ = {row['kappa']:g}"
            yield (
                "* From the code of largest evidence until four chains have settled (R-hat below "
                "1.01 and 100 effective samples of $m_S$ and of the test MSE) at "
                f"{where}: {who}, {text}."
            )
            continue
        ratios = {}
        for name, words in watched.items():
            ours = value(frame, "settling_rate", package=OURS, observable=name)
            case = {"package": row["package"], "dynamics": row["dynamics"], "observable": name}
            ratios[words] = ours / value(frame, "settling_rate", **case)
        fewer = " and ".join(
            f"{number_text(ratio)} times its effective samples of {words}"
            for words, ratio in ratios.items()
            if math.isfinite(ratio)
        )
        more = f" This library has {fewer} in a second." if fewer else ""
        yield f"* {who}, with its own tuning: {text}.{more}"


def _times(ratio: float, bound: str) -> str:
    return f"{f'{bound} ' if bound else ''}{number_text(ratio)} times"


def update(readme: str, frame: pd.DataFrame | None) -> str:
    """The README with its part replaced.

    Raises
    ------
    BookError
        If the README does not have exactly one place for it.
    """
    if readme.count(START) != 1 or readme.count(END) != 1:
        raise BookError(f"README.md must have the lines {START!r} and {END!r} once each")
    before, rest = readme.split(START)
    return f"{before}{START}\n{render(frame)}\n{END}{rest.split(END)[1]}"
