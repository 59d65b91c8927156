"""The stored results that each figure of the paper needs: ``figures.toml`` beside the sweeps.

``make reproduce`` computes the cells listed in this file, a build in profile *stored* takes from it
which tables a page needs, and the table of figures in the README is written from it.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from book_tools.errors import BookError, InputError
from book_tools.project import Project
from book_tools.sources import read_text

FIGURES = "figures.toml"
"""The file, in :attr:`book_tools.project.Project.sweeps`."""

_HEAD = "| figure | page | command | two cores |\n|---|---|---|---|"


@dataclass(frozen=True)
class Need:
    """Cells of one sweep.

    Attributes
    ----------
    grid
        The file of the sweep, beside ``figures.toml``.
    blocks
        Blocks of the sweep.
    only
        Name of an option to the values that are needed; empty for all.
    """

    grid: str
    blocks: tuple[str, ...]
    only: Mapping[str, Sequence[Any]]


@dataclass(frozen=True)
class PaperFigure:
    """A figure and the results it needs.

    Attributes
    ----------
    id
        Name on the command line.
    shows
        The panels and their content.
    hours
        Computing time in hours on two cores.
    needs
        The cells.
    page
        The page of the book that shows it; empty if there is none.
    panels
        Further names on the command line.
    """

    id: str
    shows: str
    hours: float
    needs: tuple[Need, ...]
    page: str = ""
    panels: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Its id and those of its panels."""
        return (self.id, *self.panels)


@dataclass(frozen=True)
class Listing:
    """The content of ``figures.toml``.

    Attributes
    ----------
    figures
        The figures, in the order of the file.
    arrays
        The cells whose weights are stored beside the table.
    histograms
        The sweeps with stored histograms of weights and overlaps.
    """

    figures: tuple[PaperFigure, ...] = ()
    arrays: tuple[Need, ...] = ()
    histograms: tuple[str, ...] = ()

    def figure(self, name: str) -> PaperFigure:
        """The figure with this id or panel, regardless of case.

        Raises
        ------
        InputError
            If there is no such figure.
        """
        for figure in self.figures:
            if name.strip().casefold() in map(str.casefold, figure.names):
                return figure
        known = ", ".join(
            f"{figure.id} ({', '.join(figure.panels)})" if figure.panels else figure.id
            for figure in self.figures
        )
        raise InputError(f"figure is {name!r}; {FIGURES} knows {known or 'none'}")

    def grids(self, name: str | None = None) -> list[str]:
        """The files of the sweeps that a figure needs; of all figures without a name."""
        figures = self.figures if name is None else (self.figure(name),)
        return list(dict.fromkeys(need.grid for figure in figures for need in figure.needs))


def load_figures(project: Project) -> Listing:
    """Read ``figures.toml``; a book without it has no stored results.

    Raises
    ------
    BookError
        Names the wrong row and field.
    """
    path = project.sweeps / FIGURES
    if not path.is_file():
        return Listing()
    try:
        document = tomllib.loads(read_text(path))
    except ValueError as error:
        raise BookError(f"{FIGURES} is not TOML: {error}") from error
    _only_keys(document, {"figure", "arrays", "histograms"}, "the file")
    figures: list[PaperFigure] = []
    for number, row in enumerate(_rows(document, "figure"), start=1):
        where = f"figure {row.get('id', number)!r}"
        figure = _figure(row, where)
        known = [each.casefold() for earlier in figures for each in earlier.names]
        for position, each in enumerate(map(str.casefold, figure.names)):
            if each in known:
                what = where if position == 0 else f"{where}: panel {figure.names[position]!r}"
                raise BookError(f"{FIGURES}: {what} is listed twice")
            known.append(each)
        if figure.page and figure.page not in project.pages():
            raise BookError(
                f"{FIGURES}: {where}: page {figure.page!r} is not in {project.toc.name}"
            )
        figures.append(figure)
    arrays = []
    for number, row in enumerate(_rows(document, "arrays"), start=1):
        where = f"arrays {number}"
        _text(row, "reason", where)
        rest = {name: value for name, value in row.items() if name != "reason"}
        arrays.append(_need(rest, where))
    histograms = document.get("histograms", [])
    if not isinstance(histograms, list) or not all(isinstance(name, str) for name in histograms):
        raise BookError(f"{FIGURES}: histograms is {histograms!r}; it must be a list of sweeps")
    listing = Listing(tuple(figures), tuple(arrays), tuple(histograms))
    grids = {need.grid for each in figures for need in each.needs}
    for grid in sorted(grids | {need.grid for need in arrays} | set(histograms)):
        if not (project.sweeps / grid).is_file():
            raise BookError(f"{FIGURES}: there is no sweep {grid!r} beside it")
    return listing


def missing_tables(project: Project, listing: Listing) -> Iterator[tuple[PaperFigure, Path]]:
    """Figures with a page whose stored table is missing, each with that table."""
    for figure in listing.figures:
        for grid in listing.grids(figure.id) if figure.page else ():
            table = project.table(grid)
            if not table.is_file():
                yield figure, table


def render_figures(listing: Listing) -> str:
    """The table of the README: figure, page, command and time on two cores."""
    lines = [_HEAD]
    for figure in listing.figures:
        name = figure.page.rpartition("/")[2]
        page = f"[{name}]({figure.page}.md)" if figure.page else "the table alone"
        command = f"`make reproduce FIGURE={figure.id}`"
        lines.append(f"| {figure.shows} | {page} | {command} | {_hours(figure.hours)} |")
    return "\n".join(lines)


def _hours(hours: float) -> str:
    return f"{60 * hours:.0f} min" if hours < 1 else f"{hours:g} h"


def _figure(row: Mapping[str, Any], where: str) -> PaperFigure:
    _only_keys(row, {"id", "panels", "shows", "page", "hours", "needs"}, where)
    hours = row.get("hours")
    if isinstance(hours, bool) or not isinstance(hours, int | float) or not hours > 0:
        raise BookError(f"{FIGURES}: {where}: hours is {hours!r}; it must be a number above 0")
    needs = tuple(_need(each, where) for each in _rows(row, "needs"))
    if not needs:
        raise BookError(f"{FIGURES}: {where}: it needs nothing")
    panels = row.get("panels", [])
    if not isinstance(panels, list) or not all(isinstance(each, str) and each for each in panels):
        raise BookError(f"{FIGURES}: {where}: panels is {panels!r}; it must be a list of names")
    return PaperFigure(
        _text(row, "id", where),
        _text(row, "shows", where),
        float(hours),
        needs,
        _text(row, "page", where) if "page" in row else "",
        tuple(panels),
    )


def _need(row: Mapping[str, Any], where: str) -> Need:
    _only_keys(row, {"grid", "blocks", "only"}, where)
    blocks, only = row.get("blocks"), row.get("only", {})
    if not (isinstance(blocks, list) and blocks and all(isinstance(each, str) for each in blocks)):
        raise BookError(f"{FIGURES}: {where}: blocks is {blocks!r}; it must be a list of names")
    if not (isinstance(only, dict) and all(isinstance(each, list) for each in only.values())):
        raise BookError(f"{FIGURES}: {where}: only is {only!r}; it must be a table of lists")
    return Need(_text(row, "grid", where), tuple(blocks), only)


def _rows(document: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    rows = document.get(name, [])
    if not (isinstance(rows, list) and all(isinstance(row, dict) for row in rows)):
        raise BookError(f"{FIGURES}: {name} must be written [[{name}]]")
    return rows


def _text(row: Mapping[str, Any], name: str, where: str) -> str:
    value = row.get(name)
    if not isinstance(value, str) or not value.strip():
        raise BookError(f"{FIGURES}: {where}: {name} is {value!r}; it must be a text")
    return value


def _only_keys(row: Mapping[str, Any], allowed: set[str], where: str) -> None:
    for name in row.keys() - allowed:
        raise BookError(
            f"{FIGURES}: {where}: {name!r} is none of its fields {', '.join(sorted(allowed))}"
        )
