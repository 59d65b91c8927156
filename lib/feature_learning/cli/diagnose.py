"""The command ``feature-learning diagnose``: convergence of a run, agreement between runs."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from feature_learning.analysis.chain_history import ChainHistory, compare, read_draws
from feature_learning.analysis.report import as_json, as_text
from feature_learning.cli.ending import answer
from feature_learning.errors import ArgumentError
from feature_learning.files import atomic


def run_command(command: str, options: dict[str, Any]) -> int:
    """Run ``diagnose``; returns the exit code."""
    files: list[Path] = options["files"]
    runs = [read_draws(path, name=name) for path, name in zip(files, _names(files), strict=True)]
    compared = compare(runs)
    if options["plots"] is not None:
        _draw(runs, options["plots"])
    as_object = options["json"]
    answer(
        json.dumps(as_json(runs, compared), allow_nan=False)
        if as_object
        else as_text(runs, compared)
    )
    return 0


def _names(files: Sequence[Path]) -> list[str]:
    """Distinct names of the files: their stems if these differ, else their paths."""
    for path, count in Counter(map(os.path.realpath, files)).items():
        if count > 1:
            raise ArgumentError(f"files must differ, but {path} is given {count} times")
    short = [path.stem for path in files]
    return short if len(set(short)) == len(files) else [str(path) for path in files]


def _printable(name: str) -> str:
    return name.encode(errors="replace").decode()


def _draw(runs: Sequence[ChainHistory], folder: Path) -> None:
    """Write ``trace.png`` and ``rank.png``."""
    # Matplotlib is slow to import, and nothing else here needs it.
    import matplotlib as mpl

    from feature_learning.plotting.chain_figures import rank_figure, trace_figure
    from feature_learning.plotting.curves import RC

    # A file name may contain "$", which starts a formula, or bytes that are not valid text.
    runs = [replace(run, name=_printable(run.name).replace("$", r"\$")) for run in runs]
    with mpl.rc_context(RC):
        for name, figure in (("trace", trace_figure(runs)), ("rank", rank_figure(runs))):
            with atomic.replacing(folder / f"{name}.png") as file:
                figure.savefig(file, format="png")
