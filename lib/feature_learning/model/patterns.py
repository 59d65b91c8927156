"""Codes as text: the sign patterns of specialised neurons, such as ``+-++ -+++``."""

from __future__ import annotations

import itertools

from feature_learning.errors import ArgumentError, shortened


def half_cube(sparsity: int) -> str:
    """One neuron of each pair of patterns {s, -s}: all s that begin with +."""
    signs = itertools.product("+-", repeat=sparsity - 1)
    return " ".join(f"+{''.join(each)}" for each in signs)


def canonical(code: object, *, sparsity: int, width: int) -> str:
    """The canonical name of a code: its patterns in sorted order, separated by one blank.

    Raises
    ------
    ArgumentError
        If ``code`` is not a text of patterns of ``sparsity`` signs, or has more than ``width``.
    """
    patterns = sorted(code.split()) if isinstance(code, str) else []
    if not patterns or any(len(each) != sparsity or set(each) - {"+", "-"} for each in patterns):
        raise ArgumentError(
            f"code must be patterns of {sparsity} signs such as "
            f"{('+-' * sparsity)[:sparsity]!r}, separated by blanks, not {shortened(code)}"
        )
    if len(patterns) > width:
        raise ArgumentError(f"code must have at most width = {width} patterns, not {len(patterns)}")
    return " ".join(patterns)


def signs_of(code: str | None) -> list[list[int]]:
    """The code as signs, (neurons, sparsity); empty for None."""
    patterns = () if code is None else code.split()
    return [[1 if sign == "+" else -1 for sign in pattern] for pattern in patterns]
