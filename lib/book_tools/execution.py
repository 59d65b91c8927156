"""Run a notebook once, and again only if one of its inputs has changed.

An executed notebook has the fingerprint of everything it was computed from, and is written
atomically. jupyter-cache is not used: it only compares the cells of the notebook and would keep the
results of an older library.
"""

from __future__ import annotations

import hashlib
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jupytext
import papermill
from nbformat import NotebookNode
from papermill.exceptions import PapermillExecutionError

from book_tools.errors import BookError, without_colours
from book_tools.folders import make
from book_tools.kernels import starting_kernels
from book_tools.notebooks import (
    cells_tagged,
    default_parameters,
    missing_pictures,
    read_executed,
    read_notebook,
    with_values,
    write_notebook,
)
from book_tools.project import Project
from book_tools.sources import read_text, sources
from feature_learning.files import atomic

TRACEBACK_LINES = 15
"""Lines of a failing cell's traceback that are shown."""


def fingerprint(project: Project, page: str, parameters: Mapping[str, Any]) -> str:
    """Digest of everything an executed notebook is computed from.

    This is its source, the library, the data files beside the pages, the pinned versions, the
    version of Python, and the parameters of the run.
    """
    digest = hashlib.sha256()

    def add(label: str, content: bytes) -> None:
        # With the lengths, different lists of files never give the same bytes.
        digest.update(f"{label}\0{len(content)}\0".encode())
        digest.update(content)

    add("python", f"{sys.version_info.major}.{sys.version_info.minor}".encode())
    add("parameters", repr(sorted(parameters.items())).encode())
    for path in [project.source(page), project.constraints, *inputs(project)]:
        add(path.relative_to(project.root).as_posix(), path.read_bytes())
    return digest.hexdigest()


def is_executed(project: Project, page: str, parameters: Mapping[str, Any]) -> bool:
    """Whether the executed notebook of a page exists and is up to date."""
    wanted = fingerprint(project, page, parameters)
    return _fingerprint_of(_target(project, page, parameters)) == wanted


def execute(project: Project, page: str, parameters: Mapping[str, Any], *, folder: Path) -> Path:
    """Run the notebook of a page, and return the path of the executed one.

    Call :func:`is_executed` to test whether an executed notebook is up to date.

    Parameters
    ----------
    project
        The book.
    page
        The page, as named in the table of contents.
    parameters
        Values to set, by name; ``profile`` among them.
    folder
        The folder in which the notebook runs, a copy of the folder of its source.

    Raises
    ------
    BookError
        If a parameter is unknown to the notebook, a cell raises an error, or a cell does not draw
        the figure that it declares.
    """
    source = project.source(page)
    notebook = read_notebook(source)
    defaults = default_parameters(notebook, source.name)
    for name in parameters:
        if name not in defaults:
            raise BookError(
                f"{source.name}: parameter {name!r} is unknown; "
                f"its parameters cell has {', '.join(sorted(defaults)) or 'none'}"
            )

    target, wanted = _target(project, page, parameters), fingerprint(project, page, parameters)
    print(f"{page}: running", flush=True)
    make(project.executed(parameters["profile"]))
    target.parent.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix=".running-", dir=target.parent) as scratch:
        executed = _run(project, notebook, parameters, page, folder=folder, scratch=Path(scratch))
        seconds = time.monotonic() - started
        for name in missing_pictures(executed):
            raise BookError(f"{page}: figure {name!r} was not drawn: its cell shows no picture")
        _tidy(executed, parameters)
        executed.metadata["book"] = {
            "fingerprint": wanted,
            "parameters": dict(parameters),
            "seconds": round(seconds, 1),
        }
        write_notebook(executed, target)
    print(f"{page}: done in {seconds:.0f} s", flush=True)
    return target


def inputs(project: Project) -> Iterator[Path]:
    """The files every notebook may depend on, in a fixed order."""
    for folder in (project.library, project.root / "book" / "data"):
        yield from sources(folder)


def _target(project: Project, page: str, parameters: Mapping[str, Any]) -> Path:
    return project.executed(parameters["profile"]) / f"{page}.ipynb"


def _fingerprint_of(executed: Path) -> str | None:
    if not executed.is_file():
        return None
    return str(read_executed(executed).metadata.get("book", {}).get("fingerprint"))


def _run(
    project: Project,
    notebook: NotebookNode,
    parameters: Mapping[str, Any],
    page: str,
    *,
    folder: Path,
    scratch: Path,
) -> NotebookNode:
    unexecuted, output = scratch / "source.ipynb", scratch / "output.ipynb"
    atomic.write(unexecuted, jupytext.writes(notebook, fmt="ipynb"))
    with starting_kernels(project) as options:
        try:
            papermill.execute_notebook(
                unexecuted,
                output,
                parameters=dict(parameters),
                # Each redraw of a bar would become a line of the page.
                progress_bar=False,
                cwd=folder,
                **options,
            )
        except PapermillExecutionError as error:
            lines = without_colours("\n".join(error.traceback)).splitlines()
            shown = "\n".join(f"    {line}" for line in lines[-TRACEBACK_LINES:])
            place = f"{page}.md:{_line_of(error.source, project.source(page))}"
            raise BookError(f"{place}: this cell raised {error.ename}\n{shown}") from error
        except RuntimeError as error:
            reason = " ".join(str(error).split())
            raise BookError(
                f"{page}: its kernel ended, perhaps for lack of memory: {reason}"
            ) from None
    return read_executed(output)


def _line_of(cell: str, source: Path) -> int:
    """Line of the Markdown source at which a cell's code starts; 1 if it is not found."""
    before, found, _ = read_text(source).partition(cell.strip())
    return before.count("\n") + 1 if found else 1


def _tidy(executed: NotebookNode, parameters: Mapping[str, Any]) -> None:
    # papermill records local paths and times, which are not published.
    executed.metadata.pop("papermill", None)
    for cell in executed.cells:
        cell.metadata.pop("papermill", None)
        cell.metadata.pop("execution", None)
    # Keep one cell of parameters with the actual values instead of two that contradict each other.
    executed.cells = [
        cell
        for cell in executed.cells
        if "injected-parameters" not in cell.metadata.get("tags", [])
    ]
    (cell,) = cells_tagged(executed, "parameters")
    cell.source = with_values(cell.source, parameters)
