"""Stage the sources, execute the notebooks, run Sphinx, and put the finished book in place.

Sphinx always starts from an empty folder. In a folder of an earlier build it would not repeat the
warnings for unchanged pages, so that a failing book would pass the second time.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import nbformat

from book_tools.assets import add_plotly, prune, share_plotly
from book_tools.check import check_book
from book_tools.claims import Outcome, compare, load_claims
from book_tools.claims_table import describe, render_front, render_page, summary
from book_tools.errors import BookError, without_colours
from book_tools.execution import fingerprint, is_executed
from book_tools.figures import load_figures, missing_tables
from book_tools.folders import (
    BOOK,
    STAGE,
    check_fresh,
    put_in_place,
    scratch,
)
from book_tools.glued import glued_sections, glued_values
from book_tools.kernels import environment
from book_tools.links import follow_execution
from book_tools.notebooks import declared_figures, page_title, read_executed, write_notebook
from book_tools.parallel import execute_all
from book_tools.postprocess import polish
from book_tools.project import Project, checked_profile
from book_tools.sources import read_text
from book_tools.staging import convert, stage_sources
from feature_learning.files import atomic

RECORD = "book.json"
"""A file of the finished book with the fingerprint of its sources."""

CLAIMS_PAGE = Path("book") / "_generated" / "claims.md"
"""The claims table, relative to the stage; the introduction includes it."""

_PROMISED = "`````{{figure}} promised.svg\n:name: {figure.name}\n\n{figure.caption}\n`````\n"
_EMPTY_PICTURE = '<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1"/>\n'

_SPHINX = "from jupyter_book.cli.main import main; main()"


def build(project: Project, profile: str) -> list[Outcome]:
    """Build the book and return the outcomes of its claims.

    The old book stays in place until the new one is complete and checked. Claims that fail are
    shown as failing in the book; they do not stop the build.

    Raises
    ------
    BookError
        If a notebook raises an error, Sphinx warns, or the check finds a fault.
    """
    checked_profile(profile)
    stage = project.stage(profile)
    check_fresh(project.root, stage, STAGE)
    check_fresh(project.root, project.html, BOOK)
    if profile == "stored":
        check_stored(project)
    # Find errors in the text before minutes of computation.
    check_prose(project, profile)
    stage_sources(project, stage)
    notebooks = project.notebooks()
    execute_all(project, notebooks, profile, stage=stage)
    with_plotly = [_stage_executed(project, page, profile) for page in notebooks]
    _link_pages(project, stage)
    outcomes = claim_outcomes(project, profile)
    _write_claims(project, stage, outcomes, profile)

    with scratch(project.build, "sphinx") as place:
        html = _run_sphinx(project, stage, place)
        if any(with_plotly):
            add_plotly(html)
        prune(html)
        polish(html)
        atomic.write(html / RECORD, json.dumps(_record(project, profile), indent=1) + "\n")
        check_book(project, html, stage)
        put_in_place(project.root, html, project.html, place / "old", BOOK)
    for outcome in outcomes:
        if outcome.failed:
            print(describe(outcome))
    print(f"{summary(outcomes, profile)}\nThe book is in {project.html.relative_to(project.root)}")
    return outcomes


def check_stored(project: Project) -> None:
    """Check that the results that the pages show in profile *stored* exist.

    Raises
    ------
    BookError
        Names the page, the missing table and the command that computes it.
    """
    for figure, table in missing_tables(project, load_figures(project)):
        raise BookError(
            f"{figure.page} shows stored results, and {table.relative_to(project.root)} is not "
            f"there; `make reproduce FIGURE={figure.id}` computes it"
        )


def check_prose(project: Project, profile: str) -> None:
    """Check pages, docstrings and claims before notebooks run, if any has to run.

    Sphinx builds the book with unexecuted notebooks. An empty picture replaces every promised
    figure, so that captions and references to figures are checked too.

    Raises
    ------
    BookError
        If the claims are malformed or Sphinx warns.
    """
    claims, notebooks = load_claims(project), project.notebooks()
    if all(is_executed(project, page, {"profile": profile}) for page in notebooks):
        return
    print("checking the pages before the notebooks run", flush=True)
    with scratch(project.build, "prose") as place:
        stage = place / "stage"
        for path in convert(project, stage):
            notebook = nbformat.read(path, as_version=4)
            for figure in declared_figures(notebook, path.name):
                text = _PROMISED.format(figure=figure)
                notebook.cells.append(nbformat.v4.new_markdown_cell(text, id=figure.name))
            write_notebook(notebook, path)
            atomic.write(path.parent / "promised.svg", _EMPTY_PICTURE)
        _link_pages(project, stage)
        _write_claims(project, stage, compare(claims, {}), profile)
        _run_sphinx(project, stage, place)


def claim_outcomes(project: Project, profile: str) -> list[Outcome]:
    """Outcomes of the claims, from the values glued in the last build of a profile.

    Raises
    ------
    BookError
        If the profile was not built.
    """
    glued = {}
    for page in project.notebooks():
        executed = project.stage(profile) / f"{page}.ipynb"
        if not executed.is_file():
            raise BookError(f"{page} has not been executed for profile {profile}")
        glued[page] = glued_values(executed)
    holes = set[str]()
    if profile == "stored":
        # Importing the library takes a second, and the other profile does not need it.
        from book_tools.stored import pages_with_holes

        holes = pages_with_holes(project)
    return compare(load_claims(project), glued, holes)


def is_current(project: Project, profile: str) -> bool:
    """Whether the finished book was built from the current sources."""
    record = project.html / RECORD
    return record.is_file() and json.loads(record.read_text()) == _record(project, profile)


def _record(project: Project, profile: str) -> dict[str, object]:
    pages = {page: fingerprint(project, page, {"profile": profile}) for page in project.pages()}
    return {"profile": profile, "pages": pages, "claims": read_text(project.claims)}


def _write_claims(project: Project, stage: Path, outcomes: Sequence[Outcome], profile: str) -> None:
    """Write the claims of every page at its end, and all of them for the front page."""
    sections, titles = {}, {}
    for page in project.notebooks():
        titles[page] = page_title(project.source(page))
        sections[page] = glued_sections(stage / f"{page}.ipynb")
        if mine := [outcome for outcome in outcomes if outcome.claim.page == page]:
            place = stage / f"{page}.ipynb"
            notebook = read_executed(place)
            text = render_page(mine, profile, sections)
            notebook.cells.append(nbformat.v4.new_markdown_cell(text, id="claims"))
            write_notebook(notebook, place)
    front = stage / CLAIMS_PAGE
    atomic.write(front, render_front(outcomes, profile, titles, sections))


def _stage_executed(project: Project, page: str, profile: str) -> bool:
    """Replace a source by its executed notebook; returns whether it draws with plotly."""
    notebook = read_executed(project.executed(profile) / f"{page}.ipynb")
    with_plotly = share_plotly(notebook, page)
    place = project.stage(profile) / page
    write_notebook(notebook, place.with_suffix(".ipynb"))
    # Of two files with one name Sphinx could choose either as the page.
    place.with_suffix(".md").unlink()
    return with_plotly


def _link_pages(project: Project, stage: Path) -> None:
    notebooks = project.notebooks()
    for page in project.pages():
        place = stage / f"{page}{'.ipynb' if page in notebooks else '.md'}"
        text = read_text(place)
        atomic.write(place, follow_execution(text, page, notebooks))


def _run_sphinx(project: Project, stage: Path, scratch: Path) -> Path:
    command = [sys.executable, "-c", _SPHINX, "build", str(stage), "--path-output", str(scratch)]
    command += ["--warningiserror", "--keep-going", "--quiet"]
    run = subprocess.run(
        command,
        env=environment(project),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    )
    html = scratch / "_build" / "html"
    if run.returncode != 0 or not html.is_dir():
        lines = _worth_reading(without_colours(run.stdout).splitlines(), stage)
        raise BookError("Sphinx warned or failed:\n" + "\n".join(f"    {line}" for line in lines))
    return html


#: Marks of lines in which Sphinx names a cause; the last is for errors in extensions.
_TELLING = ("WARNING", "ERROR", "threw an exception")


def _worth_reading(lines: Sequence[str], stage: Path) -> list[str]:
    """The warnings and errors in the output of Sphinx; its last lines if there are none."""
    named = [line for line in lines if any(word in line for word in _TELLING)]
    # Readers edit the sources, not the stage.
    return [line.replace(f"{stage}/", "") for line in named or lines[-20:]]
