"""The last touch to the pages of Sphinx: a formula keeps its punctuation, pictures open in full.

Sphinx links pictures of a given size only, and a style sheet alone (a word joiner before and after
the formula) does not hold the line together in Chromium. Both are changes of a few characters
around what Sphinx writes, so that they are made in the text and leave everything else as it is.
"""

from __future__ import annotations

import re
from pathlib import Path

from feature_learning.files import atomic

_MATHS = r'<span class="math notranslate nohighlight">[^<]*</span>'
# What stands against a formula without a space: brackets, a comma, the rest of a word.
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
    """Keep a formula in the line of what stands against it without a space.

    For a browser a typeset formula is a box, and it may break the line beside a box: before the
    comma that follows, or after the bracket that precedes.
    """

    def together(found: re.Match[str]) -> str:
        if re.fullmatch(_MATHS, found[0]):
            return found[0]
        return f'<span class="together">{found[0]}</span>'

    return _WITH_NEIGHBOURS.sub(together, text)


def link_pictures(text: str) -> str:
    """Let every picture of the text that is no link yet open in full size, to zoom into it."""

    def linked(found: re.Match[str]) -> str:
        if found["link"]:
            return found[0]
        return f'<a class="full-size" href="{found["source"]}">{found["image"]}</a>'

    return _PICTURE.sub(linked, text)
