"""The source of a notebook: a Markdown page in MyST format with a jupytext header.

A notebook has exactly one cell tagged ``parameters``, which only contains literals: papermill puts
the values of a run into a new cell after it, so that a value derived inside the ``parameters`` cell
would silently stay unchanged.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jupytext
import nbformat
import yaml
from bs4 import BeautifulSoup
from nbformat import NotebookNode

from book_tools.errors import BookError
from book_tools.sources import read_text
from feature_learning.files import atomic


@dataclass(frozen=True)
class Figure:
    """A figure that a notebook promises in the metadata of a cell.

    Attributes
    ----------
    name
        The label by which the text refers to it.
    caption
        The text below it.
    alt
        Its content, for readers who cannot see it.
    """

    name: str
    caption: str
    alt: str


def page_header(source: Path) -> Mapping[str, Any]:
    """The YAML header of a Markdown page; empty if it has none."""
    text = read_text(source)
    if not text.startswith("---\n"):
        return {}
    head, closed, _ = text[4:].partition("\n---\n")
    try:
        loaded = yaml.safe_load(head) if closed else None
    except yaml.YAMLError as error:
        raise BookError(f"{source.name}: the header is not YAML: {error}") from error
    return loaded if isinstance(loaded, Mapping) else {}


def page_title(source: Path) -> str:
    """The first heading of a Markdown page; the name of the file if it has none."""
    heading = re.search(r"^# (.+)$", read_text(source), re.MULTILINE)
    return heading[1].strip() if heading else source.stem


def is_notebook(source: Path) -> bool:
    """Whether a page is executed: it has a ``jupytext`` key in its header."""
    return source.is_file() and "jupytext" in page_header(source)


def read_notebook(source: Path) -> NotebookNode:
    """Read a notebook and check the rules of this module.

    Raises
    ------
    BookError
        If it does not have exactly one parameters cell, if this cell has more than literals, or if
        a figure lacks its name, caption or alternative text.
    """
    notebook: NotebookNode = jupytext.reads(read_text(source), fmt="md:myst")
    # A header can carry a metadata filter, which drops the tags when the notebook is written.
    notebook.metadata.get("jupytext", {}).pop("cell_metadata_filter", None)
    notebook.metadata.setdefault(
        "kernelspec", {"name": "python3", "display_name": "Python 3", "language": "python"}
    )
    default_parameters(notebook, source.name)
    list(declared_figures(notebook, source.name))
    for number, cell in enumerate(notebook.cells):
        # Ids are random by default, but the same source should give the same file.
        cell["id"] = f"cell-{number}"
    return notebook


def read_executed(path: Path) -> NotebookNode:
    """Read an ``.ipynb`` file."""
    notebook: NotebookNode = nbformat.read(path, as_version=4)
    return notebook


def write_notebook(notebook: NotebookNode, path: Path) -> None:
    """Write an ``.ipynb`` file."""
    atomic.write(path, nbformat.writes(notebook) + "\n")


def cells_tagged(notebook: NotebookNode, tag: str) -> list[NotebookNode]:
    """The cells that carry a tag."""
    return [cell for cell in notebook.cells if tag in cell.metadata.get("tags", [])]


def default_parameters(notebook: NotebookNode, name: str) -> dict[str, Any]:
    """The parameters of a notebook and their defaults; ``name`` identifies it in messages.

    Raises
    ------
    BookError
        If there is not exactly one parameters cell, or if it has more than literals.
    """
    tagged = cells_tagged(notebook, "parameters")
    if len(tagged) != 1:
        raise BookError(
            f"{name}: {len(tagged)} cells are tagged 'parameters'; there must be exactly 1"
        )
    values: dict[str, Any] = {}
    for statement in ast.parse(tagged[0].source).body:
        match statement:
            case ast.Assign(targets=[ast.Name(id=target)], value=expression):
                pass
            case ast.AnnAssign(target=ast.Name(id=target), value=ast.expr() as expression):
                pass
            case _:
                raise BookError(
                    f"{name}: the parameters cell may only set names to literals, "
                    f"not {ast.unparse(statement)!r}"
                )
        try:
            values[target] = ast.literal_eval(expression)
        except ValueError as error:
            raise BookError(
                f"{name}: parameter {target!r} is {ast.unparse(expression)!r}, which is no "
                "literal; compute it in a later cell"
            ) from error
    return values


def with_values(source: str, values: Mapping[str, Any]) -> str:
    """The source of a parameters cell with other values; comments and all else are kept."""
    lines = source.encode().splitlines(keepends=True)  # the parser counts bytes
    for statement in reversed(ast.parse(source).body):
        assert isinstance(statement, ast.Assign | ast.AnnAssign)
        target = statement.targets[0] if isinstance(statement, ast.Assign) else statement.target
        expression = statement.value
        if isinstance(target, ast.Name) and target.id in values and expression is not None:
            first, last = expression.lineno - 1, (expression.end_lineno or 0) - 1
            before = lines[first][: expression.col_offset]
            after = lines[last][expression.end_col_offset or 0 :]
            value = values[target.id]
            # With double quotes, like the formatter.
            text = json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)
            lines[first : last + 1] = [before + text.encode() + after]
    return b"".join(lines).decode()


def declared_figures(notebook: NotebookNode, name: str) -> Iterator[Figure]:
    """The figures declared in the cells of a notebook; ``name`` identifies it in messages.

    Raises
    ------
    BookError
        If a figure has no name, no caption or no alternative text.
    """
    for number, cell in enumerate(notebook.cells, start=1):
        render = cell.metadata.get("mystnb", {})
        if "figure" not in render:
            continue
        figure = render["figure"]
        found = {
            "figure.name": figure.get("name", ""),
            "figure.caption": figure.get("caption", ""),
            "image.alt": render.get("image", {}).get("alt", ""),
        }
        for key, value in found.items():
            if not str(value).strip():
                raise BookError(f"{name}: the figure of cell {number} has no mystnb {key}")
        yield Figure(*(str(value).strip() for value in found.values()))


def missing_pictures(notebook: NotebookNode) -> Iterator[str]:
    """Names of declared figures whose cell in the executed notebook shows no picture."""
    for cell in notebook.cells:
        figure = cell.metadata.get("mystnb", {}).get("figure")
        if figure is not None and not any(map(_is_picture, cell.get("outputs", []))):
            yield str(figure.get("name", "")).strip()


def _is_picture(output: NotebookNode) -> bool:
    data = output.get("data", {})
    if any(kind.startswith("image/") for kind in data):
        return True
    # A diagram drawn by a script has the role "img"; the check of the pages uses the same rule.
    soup = BeautifulSoup(data.get("text/html", ""), "html.parser")
    return soup.select_one("img, [role=img]") is not None
