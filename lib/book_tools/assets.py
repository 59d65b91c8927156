"""What pages load besides text and pictures: every script once, and none that no page asks for.

A notebook that draws with plotly carries its script, 5 MB, in the output of the cell, so that it
works wherever it is opened. In the book the pages load one copy of it by a relative path, which
needs no network and no server. A notebook that is downloaded from the book lacks the script until
its cell is run again; it says so where the diagram would stand.
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
"""MathJax, which comes in a dozen combinations of a megabyte or two, of which a page loads one."""

_MATHJAX_SOURCE = re.compile(r'<script[^>]* src="[^"]*_static/mathjax/([^"?]+)')

_LOADED = (
    "<p>This diagram needs JavaScript and, in a downloaded notebook, that its cell is run.</p>\n"
    '<script src="{source}" charset="utf-8" onload="this.previousElementSibling.remove()"></script>'
)


def share_plotly(notebook: NotebookNode, page: str) -> bool:
    """Let an executed notebook load the book's copy of plotly's script in place of its own.

    Parameters
    ----------
    notebook
        Changed in place.
    page
        The page, as named in the table of contents.

    Returns
    -------
    bool
        Whether it carried the script.
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
    """Put plotly's script into the finished book."""
    atomic.write(html / PLOTLY, _plotly_script())


def prune(html: Path) -> None:
    """Remove from the finished book what no page loads.

    That are the combinations of MathJax that no page names (what those load that are named stands
    in folders, which are kept: fonts, extensions of TeX, what its menu offers), and the maps that
    lead from compressed scripts and styles back to sources that are not here.
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
    # Few books draw with it, and its import takes a moment.
    from plotly.offline import get_plotlyjs

    return str(get_plotlyjs())
