"""The commands ``feature-learning sweep``, ``table`` and ``densities``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from feature_learning.cli.ending import answer, say
from feature_learning.errors import StoreError, WorkerError, check_real
from feature_learning.experiments.hardware import check_device
from feature_learning.experiments.keys import cell_key
from feature_learning.files import atomic
from feature_learning.sweeps.grid import Grid, read_grid
from feature_learning.sweeps.plan import Plan, plan
from feature_learning.sweeps.pool import Executor, LocalPool, worker_count
from feature_learning.sweeps.store import Store
from feature_learning.sweeps.sweep import sweep

#: Cells that a dry run lists.
_SHOWN = 10


def run_command(command: str, options: dict[str, Any]) -> int:
    """Run one of the commands; returns the exit code."""
    if command == "sweep":
        return _sweep(options)
    if command == "table":
        return _table(options["folder"], options["csv"])
    return _densities(options["folder"], options["npz"])


def _say(text: str) -> None:
    say("feature-learning", text)


def _sweep(options: dict[str, Any]) -> int:
    if options["time_limit"] is not None:
        check_real("time_limit", options["time_limit"], above=0)
    grid = read_grid(options["file"])
    if options["block"] is not None:
        grid = grid.select(options["block"])
    if options["device"] is not None:
        grid = grid.on(options["device"])
    weights, out = not options["no_weights"], options["out"]
    workers = worker_count(options["workers"])
    if options["dry_run"]:
        # A dry run only reads.
        store = Store(out, create=False) if out.exists() else None
        planned = plan(grid, store)
        shown = None if options["verbose"] else _SHOWN
        answer(_overview(grid, planned, store, shown=shown))
        return 0
    if options["table"] is not None:
        from feature_learning.sweeps.table import check_place  # pandas is slow to import

        check_place(options["table"])
        atomic.check_writable(options["table"])
    # Start the workers first, so that a bad count or a missing scheduler fails early.
    executor: Executor
    if options["scheduler"] is not None:
        from feature_learning.sweeps.cluster import DaskPool

        executor = DaskPool(options["scheduler"])
    else:
        for device in sorted({cell.config.machine.device for cell in grid.cells}):
            check_device(device)
        executor = LocalPool(workers)
    told = (lambda text: None) if options["quiet"] else _say
    code = run_grid(
        grid,
        out,
        executor,
        time_limit=options["time_limit"],
        weights=weights,
        say=told,
        complain=_say,
    )
    if options["table"] is not None:
        _table(out, options["table"])
    return code


def run_grid(
    grid: Grid,
    out: Path,
    executor: Executor,
    *,
    time_limit: float | None = None,
    weights: bool = True,
    say: Callable[[str], None],
    complain: Callable[[str], None],
) -> int:
    """Compute the cells of a grid that are not in a folder yet, as the command ``sweep`` does.

    Parameters
    ----------
    grid : Grid
    out : Path
        Folder of the results.
    executor : Executor
        Closed at the end.
    time_limit : float, optional
        Time in seconds after which no new cell is started.
    weights : bool
        Store the hidden weights too.
    say, complain : callable
        Called with each line of progress, and each line about an error.

    Returns
    -------
    int
        The exit code: 0 all cells are in the folder, 1 some failed or are left, 128 + n after
        signal n (130 after Ctrl-C).

    Raises
    ------
    FeatureLearningError
        For bad input.
    KeyboardInterrupt
        On Ctrl-C before the first cell, and on a second one.
    """
    kill = True
    try:
        store = Store(out)
        store.record(
            grid.name, grid.text, {cell_key(cell.config): cell.blocks for cell in grid.cells}
        )
        planned = plan(grid, store)
        say(f"{len(planned.cells)} cells, {len(planned.todo)} to do")
        report = sweep(planned, store, executor, time_limit=time_limit, weights=weights, say=say)
        kill = False
    except WorkerError as error:
        complain(f"error: {error}; finished cells are in {out}")
        return 1
    finally:
        executor.close(kill=kill)
    for failure in report.failures:
        complain(f"failed: {failure}")
    say(
        f"{report.found} found, {report.computed} computed, {len(report.failures)} failed, "
        f"{report.left} left"
    )
    return report.exit_code


def _table(folder: Path, csv: Path) -> int:
    from feature_learning.sweeps.table import tabulate, write_csv  # pandas is slow to import

    store = Store(folder, create=False)
    cells, problems = store.scan()
    write_csv(tabulate(cells, store.labels()), csv)
    if not cells:
        _say(f"{folder} has no results; the table has no rows")
    for problem in problems:
        _say(f"left out: {problem}")
    return 1 if problems else 0


def _densities(folder: Path, npz: Path) -> int:
    from feature_learning.sweeps import densities  # pandas is slow to import

    store = Store(folder, create=False)
    cells, problems = store.scan()
    good = []
    for cell in cells:
        try:
            store.weights(cell)
            good.append(cell)
        except StoreError as error:
            problems.append(str(error))
    densities.write_npz(densities.records_of(store, good), npz)
    for problem in problems:
        _say(f"left out: {problem}")
    return 1 if problems else 0


def _overview(grid: Grid, planned: Plan, store: Store | None, *, shown: int | None) -> str:
    """The text of a dry run, with the ``shown`` longest cells or all of them."""
    todo = planned.todo
    lines = [
        f"{len(planned.cells)} cells, {len(planned.cells) - len(todo)} done, {len(todo)} to do"
    ]
    for name in grid.blocks:
        mine = [each for each in planned.cells if name in each.cell.blocks]
        left = [each for each in mine if not each.done]
        lines.append(f"  {name}: {len(mine)} cells, {len(left)} to do")
    whole = sum(each.work for each in todo)
    for each in todo[:shown]:
        config = each.cell.config
        lines.append(
            f"  to do: {config.method.name} P={config.n_train} kappa={config.kappa:g} "
            f"seed={config.seed}: {100 * each.work / whole:.3g} % of the work"
        )
    if shown is not None and len(todo) > shown:
        lines.append(f"  and {len(todo) - shown} shorter cells (--verbose lists all)")
    lines += [f"  computed again: {each.problem}" for each in todo if each.problem is not None]
    if store is not None:
        remains = [*atomic.leftovers(store.folder), *atomic.leftovers(store.checkpoints)]
        if remains:
            lines.append(f"  {len(remains)} temporary files of killed runs, ignored")
    return "\n".join(lines)
