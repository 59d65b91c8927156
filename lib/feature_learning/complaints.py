"""How a command says that something is wrong."""

from __future__ import annotations

import sys


def complain(sentence: str, code: int = 2) -> int:
    """One line on standard error; returns the exit code."""
    print(f"feature-learning: error: {' '.join(sentence.split())}", file=sys.stderr)
    return code
