"""The claims of the book, and their comparison with the executed notebooks.

``claims.yml`` is a list of rows. Each names a value that a notebook glues (``myst_nb.glue``), the
expected value, its tolerance and the reason of the tolerance. The fields of :class:`Claim` are the
schema.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from enum import Enum
from math import isfinite
from typing import Any, TypeGuard

from book_tools.errors import BookError
from book_tools.glued import Value
from book_tools.project import Project, load_yaml

_ID = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


@dataclass(frozen=True)
class Claim:
    """One row of ``claims.yml``.

    Attributes
    ----------
    id
        A short name in lower case, digits and hyphens; unique.
    sentence
        The claim, as readers see it.
    figure
        The page whose notebook computes the value, as in ``_toc.yml``; the label of a
        figure may follow after ``#``.
    expected
        The value claimed: a number, a truth value or a text.
    tolerance
        Largest deviation of a measured number; 0 for truth values and texts.
    tolerance_from
        Reason of the tolerance.
    glue
        The name under which the notebook glues the value.
    """

    id: str
    sentence: str
    figure: str
    expected: Value
    tolerance: float
    tolerance_from: str
    glue: str

    @property
    def page(self) -> str:
        """The page of the value."""
        return self.figure.partition("#")[0]

    @property
    def label(self) -> str:
        """The label of the figure on that page, empty if the row names none."""
        return self.figure.partition("#")[2]


class Verdict(Enum):
    """The outcome of a claim in one build."""

    PASS = "pass"
    FAIL = "FAIL"
    MISSING = "FAIL (not glued)"
    HOLE = "not stored yet"


@dataclass(frozen=True)
class Outcome:
    """A claim and what was measured, ``None`` if nothing was."""

    claim: Claim
    measured: Value | None
    verdict: Verdict

    @property
    def failed(self) -> bool:
        """Whether this build should confirm the claim and does not."""
        return self.verdict in (Verdict.FAIL, Verdict.MISSING)


def load_claims(project: Project) -> list[Claim]:
    """Read ``claims.yml``.

    Raises
    ------
    BookError
        Naming the row and the field that is wrong.
    """
    rows = load_yaml(project.claims)
    if not isinstance(rows, list):
        raise BookError(
            f"{project.claims.name} holds a {type(rows).__name__}; it must be a list of claims"
        )
    notebooks = project.notebooks()
    claims: list[Claim] = []
    for number, row in enumerate(rows, start=1):
        claim = _parsed(row, number, notebooks)
        if claim.id in {earlier.id for earlier in claims}:
            raise _row_error(claim.id, "id", claim.id, "unique")
        claims.append(claim)
    return claims


def compare(
    claims: Sequence[Claim],
    glued: Mapping[str, Mapping[str, Value]],
    holes: Collection[str] = (),
) -> list[Outcome]:
    """Compare the claims with the glued values.

    Parameters
    ----------
    claims
        The claims.
    glued
        For each page the values its notebook glued, by name.
    holes
        The pages with missing values because of holes in the stored tables.
    """
    outcomes = []
    for claim in claims:
        measured = glued.get(claim.page, {}).get(claim.glue)
        if measured is None:
            verdict = Verdict.HOLE if claim.page in holes else Verdict.MISSING
        else:
            verdict = Verdict.PASS if _agrees(claim, measured) else Verdict.FAIL
        outcomes.append(Outcome(claim, measured, verdict))
    return outcomes


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether a value is a number; truth values are not, although Python treats them as such."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _agrees(claim: Claim, measured: Value) -> bool:
    expected = claim.expected
    if is_number(expected):
        # In this form a measured NaN does not agree.
        return is_number(measured) and abs(float(measured) - float(expected)) <= claim.tolerance
    return type(measured) is type(expected) and measured == expected


def _parsed(row: Any, number: int, notebooks: Sequence[str]) -> Claim:
    if not isinstance(row, Mapping):
        raise BookError(f"claims.yml: row {number} is {row!r}; it must be a mapping of fields")
    name = str(row.get("id", f"number {number}"))
    known = {field.name for field in fields(Claim)}
    for key in row:
        if key not in known:
            raise _row_error(name, key, row[key], f"one of the fields {', '.join(sorted(known))}")
    for field in fields(Claim):
        if field.name not in row and field.default is MISSING:
            raise BookError(f"claims.yml: row {name!r}: field {field.name!r} is missing")
        if field.type == "str" and not _is_text(row[field.name]):
            raise _row_error(name, field.name, row[field.name], "a text that is not empty")
    if not _ID.fullmatch(row["id"]):
        raise _row_error(name, "id", row["id"], "lower-case letters, digits and single hyphens")

    expected, tolerance = row["expected"], row["tolerance"]
    finite = is_number(expected) and isfinite(expected)
    if not (isinstance(expected, bool) or finite or _is_text(expected)):
        raise _row_error(name, "expected", expected, "a finite number, a truth value or a text")
    if not (is_number(tolerance) and isfinite(tolerance) and tolerance >= 0):
        raise _row_error(name, "tolerance", tolerance, "a finite number of at least 0")
    if not is_number(expected) and tolerance != 0:
        raise _row_error(name, "tolerance", tolerance, "0, since 'expected' is no number")

    claim = Claim(**row)
    if claim.page not in notebooks:
        raise _row_error(name, "figure", claim.figure, f"on one of {', '.join(notebooks)}")
    return claim


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _row_error(row: str, field: str, value: object, allowed: str) -> BookError:
    return BookError(f"claims.yml: row {row!r}: field {field!r} is {value!r}; it must be {allowed}")
