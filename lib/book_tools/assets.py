"""The scripts that pages load: one copy of each, and none that no page needs.

A notebook that draws with plotly has its script of 5 MB in the output of the cell, so that it works
wherever it is opened. In the book all pages load one copy by a relative path, which needs neither
network nor server. A notebook that is downloaded from the book lacks the script until its cell is
run again; a text in place of the diagram says so.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from nbformat import NotebookNode

from feature_learning.files import atomic

PLOTLY = "_static/plotly.min.js"
"""The one copy of plotly's script, relative to the finished book."""

MATHJAX = "_static/mathjax"
"""Folder of MathJax: a dozen combinations of one or two megabytes, one of which a page loads."""

_MATHJAX_SOURCE = re.compile(r'<script[^>]* src="[^"]*_static/mathjax/([^"?]+)')

_LOADED = (
    "<p>This diagram needs JavaScript and, in a downloaded notebook, that its cell is run.</p>\n"
    '<script src="{source}" charset="utf-8" onload="this.previousElementSibling.remove()"></script>'
)


def share_plotly(notebook: NotebookNode, page: str) -> bool:
    """Replace plotly's script in an executed notebook by a reference to the book's copy.

    Parameters
    ----------
    notebook
        Changed in place.
    page
        The page, as named in the table of contents.

    Returns
    -------
    bool
        Whether the notebook contained the script.
    """
    source = posixpath.relpath(PLOTLY, posixpath.dirname(page) or ".")
    found = False
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            text = output.get("data", {}).get("text/html", "")
            if "Plotly.newPlot" in text and (script := _plotly_script()) in text:
                before, _, after = text.partition(script)
                opened, closed = before.rindex("<script"), after.index("</script>")
                after = after[closed + len("</script>") :]
                output["data"]["text/html"] = (
                    before[:opened] + _LOADED.format(source=source) + after
                )
                found = True
    return found


def add_plotly(html: Path) -> None:
    """Add plotly's script to the finished book."""
    atomic.write(html / PLOTLY, _plotly_script())


def prune(html: Path) -> None:
    """Remove files that no page loads from the finished book.

    These are the combinations of MathJax that no page names, and the source maps of compressed
    scripts and styles. Folders are kept, because the other combinations load from them: fonts,
    extensions of TeX, entries of the menu.
    """
    named = {
        name
        for page in html.rglob("*.html")
        for name in _MATHJAX_SOURCE.findall(page.read_text(encoding="utf-8"))
    }
    for script in (html / MATHJAX).glob("*.js") if named else ():
        if script.name not in named:
            script.unlink()
    for place in (html / "_static").rglob("*.map"):
        place.unlink()


def _plotly_script() -> str:
    # Imported here because few books need it and the import is slow.
    from plotly.offline import get_plotlyjs

    return str(get_plotlyjs())
