"""Links between pages, adapted from the sources to the executed notebooks.

In the sources a page links to another by its file, ``[text](part/page.md)``, which also works in
viewers of the sources. When a notebook is executed, an ``.ipynb`` replaces its ``.md``, and the
links to it are changed accordingly.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Collection

_LINK = re.compile(r"(?<=\]\()(?P<target>[^()\s#]+)\.md(?=[#)])")


def follow_execution(text: str, page: str, notebooks: Collection[str]) -> str:
    """Redirect the links of a page to the executed notebooks among its targets.

    Parameters
    ----------
    text
        The page, as Markdown or as a notebook file.
    page
        Its name, as in the table of contents; relative links start from its folder.
    notebooks
        The pages that are executed.
    """

    def replaced(link: re.Match[str]) -> str:
        target = link["target"]
        resolved = posixpath.normpath(posixpath.join("/", posixpath.dirname(page), target))
        suffix = ".ipynb" if resolved.lstrip("/") in notebooks else ".md"
        return target + suffix

    return _LINK.sub(replaced, text)
