"""The claims as tables of the book, with expected and measured values and the outcome.

Each page with claims ends with its own table; the front page has all tables, folded, with a summary
line for each page.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from book_tools.claims import Outcome, Verdict, is_number
from book_tools.glued import Value

_HEAD = (
    "| claim | expected | measured | holds | shown in |\n"
    "|:------|---------:|---------:|:-----:|:---------|"
)
# The reasons are sentences, too wide for another column: they get a folded table of their own.
_REASONS = "| the tolerance of | comes from |\n|:-----------------|:-----------|"

HEADING = "Claims checked on this page"
"""Heading of the section at the end of a page with claims."""

Sections = Mapping[str, Mapping[str, str]]
"""For each page the numbers of the sections in which its values are glued, by name."""


def render_front(
    outcomes: Sequence[Outcome], profile: str, titles: Mapping[str, str], sections: Sections
) -> str:
    """Write all outcomes as MyST Markdown, with a line per page and its claims folded below.

    Parameters
    ----------
    outcomes
        The claims and what was measured.
    profile
        The profile in which the notebooks ran.
    titles
        The pages, in reading order, with their titles.
    sections
        Where the values are glued.
    """
    lines = [summary(outcomes, profile), ""]
    for page, title in titles.items():
        if mine := [outcome for outcome in outcomes if outcome.claim.page == page]:
            # Pages with failing claims are shown unfolded.
            unfolded = [":open:"] if any(outcome.failed for outcome in mine) else []
            lines += [f":::{{dropdown}} {title} – {counts(mine)}", *unfolded, ""]
            lines += [f"All of {{doc}}`/{page}`, where the reasons of the tolerances stand.", ""]
            lines += [*_table(mine, sections), ":::", ""]
    return "\n".join(lines)


def render_page(outcomes: Sequence[Outcome], profile: str, sections: Sections) -> str:
    """Write the outcomes of one page as the section that ends it.

    Parameters
    ----------
    outcomes
        The claims of the page, at least one, and what was measured.
    profile
        The profile in which the notebook ran.
    sections
        Where the values are glued.
    """
    reasons = (
        _joined(outcome.claim.sentence, outcome.claim.tolerance_from) for outcome in outcomes
    )
    lines = [f"## {HEADING}", "", summary(outcomes, profile), "", *_table(outcomes, sections), ""]
    lines += [":::{dropdown} Where the tolerances come from", _REASONS, *reasons, ":::", ""]
    return "\n".join(lines)


def summary(outcomes: Sequence[Outcome], profile: str) -> str:
    """The number of claims and of each outcome, in one sentence."""
    if not outcomes:
        return "There are no claims to check."
    many = "1 claim" if len(outcomes) == 1 else f"{len(outcomes)} claims"
    return f"Profile `{profile}`, {many}: {counts(outcomes)}."


def counts(outcomes: Sequence[Outcome]) -> str:
    """The numbers of claims that hold, are not measured, and fail."""
    verdicts = [outcome.verdict for outcome in outcomes]
    text = f"{verdicts.count(Verdict.PASS)} hold"
    if holes := verdicts.count(Verdict.HOLE):
        text += f", {holes} not measured (cells not stored yet)"
    return f"{text}, {sum(outcome.failed for outcome in outcomes)} fail"


def describe(outcome: Outcome) -> str:
    """One line for a terminal or a failing test."""
    claim = outcome.claim
    measured = "nothing" if outcome.measured is None else repr(outcome.measured)
    return (
        f"{claim.id}: {outcome.verdict.value}: expected {claim.expected!r} within "
        f"{claim.tolerance!r}, measured {measured} ({claim.glue!r} of {claim.page})"
    )


def format_value(value: Value) -> str:
    """A value for reading: numbers to four significant digits."""
    if is_number(value):
        return f"{value:.4g}"
    return str(value)


def _table(outcomes: Sequence[Outcome], sections: Sections) -> list[str]:
    return [_HEAD, *(_row(outcome, sections) for outcome in outcomes)]


def _row(outcome: Outcome, sections: Sections) -> str:
    claim = outcome.claim
    expected = format_value(claim.expected)
    if is_number(claim.expected):
        expected += f"&nbsp;±&nbsp;{format_value(claim.tolerance)}"
    measured = "–" if outcome.measured is None else format_value(outcome.measured)
    verdict = outcome.verdict.value
    shown = f"**{verdict}**" if outcome.failed else verdict
    return _joined(claim.sentence, expected, measured, shown, _place(outcome, sections))


def _place(outcome: Outcome, sections: Sections) -> str:
    """A short link to the section with the value: "Plot 3", "Audit 2"."""
    claim = outcome.claim
    if claim.label:
        return f"{{numref}}`{claim.label}`"
    name = claim.page.rpartition("/")[2].replace("-", " ").capitalize()
    number = sections.get(claim.page, {}).get(claim.glue, "")
    return f"{{doc}}`{f'{name} {number}'.strip()} </{claim.page}>`"


def _joined(*cells: str) -> str:
    return "| " + " | ".join(_cell(text) for text in cells) + " |"


def _cell(text: str) -> str:
    # A line break or a bare bar would end the cell.
    return " ".join(text.split()).replace("|", "\\|")
