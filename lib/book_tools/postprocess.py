"""Final changes to the pages of Sphinx: punctuation stays at its formula, pictures open in full.

Sphinx only links pictures of a given size, and a style sheet alone (a word joiner before and after
the formula) does not prevent the line break in Chromium. Both need only a few more characters in
the text of a page, which otherwise remains unchanged.
"""

from __future__ import annotations

import re
from pathlib import Path

from feature_learning.files import atomic

_MATHS = r'<span class="math notranslate nohighlight">[^<]*</span>'
# Text next to a formula without a space: brackets, a comma, the rest of a word.
_AGAINST = r"[^\s<>]*"
_WITH_NEIGHBOURS = re.compile(rf"(?:{_AGAINST}{_MATHS})+{_AGAINST}")
_PICTURE = re.compile(
    r'(?P<link><a [^>]*>\s*)?(?P<image><img [^>]*?src="(?P<source>[^"]*_images/[^"]+)"[^>]*>)'
)


def polish(html: Path) -> None:
    """Apply :func:`keep_together` and :func:`link_pictures` to every page of a built book."""
    for page in html.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        polished = link_pictures(keep_together(text))
        if polished != text:
            atomic.write(page, polished)


def keep_together(text: str) -> str:
    """Keep a formula in one line with the text next to it without a space.

    Browsers treat a typeset formula as a box and may break the line beside it: before the comma
    that follows, or after the bracket that precedes.
    """

    def together(found: re.Match[str]) -> str:
        if re.fullmatch(_MATHS, found[0]):
            return found[0]
        return f'<span class="together">{found[0]}</span>'

    return _WITH_NEIGHBOURS.sub(together, text)


def link_pictures(text: str) -> str:
    """Link every picture that is not a link yet to its full size, to allow zooming."""

    def linked(found: re.Match[str]) -> str:
        if found["link"]:
            return found[0]
        return f'<a class="full-size" href="{found["source"]}">{found["image"]}</a>'

    return _PICTURE.sub(linked, text)
