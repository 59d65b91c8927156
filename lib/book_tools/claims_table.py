"""The claims as a table of the book: what was expected, what came out, pass or fail."""

from __future__ import annotations

from collections.abc import Sequence

from book_tools.claims import Outcome, Verdict, is_number
from book_tools.glued import Value

_HEAD = (
    "| claim | expected | measured | holds | in this book |\n"
    "|:------|---------:|---------:|:-----:|:-------------|"
)
# Sentences, too wide for one more column: a table of their own, folded.
_REASONS = "| the tolerance of | comes from |\n|:-----------------|:-----------|"


def render_table(outcomes: Sequence[Outcome], profile: str) -> str:
    """Write the outcomes as MyST Markdown.

    Parameters
    ----------
    outcomes
        The claims and what was measured.
    profile
        The profile in which the notebooks ran.
    """
    lines = [summary(outcomes, profile), ""]
    if outcomes:
        reasons = (
            _joined(outcome.claim.sentence, outcome.claim.tolerance_from) for outcome in outcomes
        )
        lines += [_HEAD, *(_row(outcome) for outcome in outcomes), ""]
        lines += [":::{dropdown} Where the tolerances come from", _REASONS, *reasons, ":::", ""]
    return "\n".join(lines)


def summary(outcomes: Sequence[Outcome], profile: str) -> str:
    """One sentence: how many claims there are and how they fare."""
    if not outcomes:
        return "There are no claims to check."
    computed = [item for item in outcomes if item.verdict is not Verdict.OTHER_PROFILE]
    passed = sum(item.verdict is Verdict.PASS for item in computed)
    text = f"Profile `{profile}`: {passed} of {len(computed)} claims hold within their tolerance"
    if left := len(outcomes) - len(computed):
        text += f"; not computed in this profile: {left}"
    return text + "."


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


def _row(outcome: Outcome) -> str:
    claim = outcome.claim
    expected = format_value(claim.expected)
    if is_number(claim.expected):
        expected += f"&nbsp;±&nbsp;{format_value(claim.tolerance)}"
    measured = "–" if outcome.measured is None else format_value(outcome.measured)
    verdict = outcome.verdict.value
    place = f"{{numref}}`{claim.label}`" if claim.label else f"{{doc}}`/{claim.page}`"
    shown = f"**{verdict}**" if outcome.failed else verdict
    return _joined(claim.sentence, expected, measured, shown, place)


def _joined(*cells: str) -> str:
    return "| " + " | ".join(_cell(text) for text in cells) + " |"


def _cell(text: str) -> str:
    # A line break or a bare bar would end the cell.
    return " ".join(text.split()).replace("|", "\\|")
