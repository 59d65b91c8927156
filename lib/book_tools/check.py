"""Check that the built book has everything that its sources promise.

Sphinx accepts figures without alternative text, pages that show an error as a grey box, and scripts
from another host. This module inspects the result.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from bs4 import BeautifulSoup, Tag

from book_tools.errors import BookError
from book_tools.notebooks import cells_tagged, declared_figures, read_executed
from book_tools.project import Project

_IMAGE_SUFFIXES = (".png", ".svg", ".jpg", ".jpeg", ".gif", ".webp")

LIMIT = 60 * 2**20
"""Largest size of a finished book in bytes, for its host and for clones of the pages."""
_NAMED_FILES = 5


def check_book(project: Project, html: Path, stage: Path) -> None:
    """Check a built book.

    Parameters
    ----------
    project
        The sources.
    html
        The built pages.
    stage
        The sources as staged for the build, with the executed notebooks.

    Raises
    ------
    BookError
        Has one line for each fault.
    """
    problems = list(_problems(project, html, stage))
    if problems:
        lines = "\n".join(f"    {problem}" for problem in problems)
        raise BookError(f"the built book has {len(problems)} faults:\n{lines}")


def _problems(project: Project, html: Path, stage: Path) -> Iterator[str]:
    if not (html / "index.html").is_file():
        yield "index.html is missing"
    yield from size_problems(html)
    soups: dict[str, BeautifulSoup] = {}
    for page in project.pages():
        path = html / f"{page}.html"
        if not path.is_file():
            yield f"{page}: the page was not built"
            continue
        soups[page] = BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")
        yield from (f"{page}: {text}" for text in page_problems(soups[page], path))
    for page in project.notebooks():
        if page in soups:
            executed = stage / f"{page}.ipynb"
            yield from (f"{page}: {text}" for text in notebook_problems(executed, soups[page]))


def size_problems(html: Path, limit: int = LIMIT) -> Iterator[str]:
    """The fault that a book is too large, with its largest files."""
    sizes = {path: path.stat().st_size for path in html.rglob("*") if path.is_file()}
    if (total := sum(sizes.values())) > limit:
        largest = sorted(sizes, key=sizes.__getitem__, reverse=True)[:_NAMED_FILES]
        named = ", ".join(f"{path.relative_to(html)} ({_mib(sizes[path])})" for path in largest)
        yield f"the book has {_mib(total)}; it may have {_mib(limit)}. Its largest files: {named}"


def _mib(size: int) -> str:
    return f"{size / 2**20:.1f} MiB"


def page_problems(soup: BeautifulSoup, path: Path) -> Iterator[str]:
    """Faults of one page: images, errors in boxes, references without target."""
    for image in soup.find_all("img"):
        source = str(image.get("src", ""))
        if not source.startswith("data:") and not _is_local_file(source, path):
            yield f"image {source!r} does not exist"
        if image.find_parent("figure") and not _has_alt_text(image):
            yield f"image {source!r} of a figure has no alternative text"
    for diagram in soup.select("[role=img]:not(img)"):
        if not str(diagram.get("aria-label", "")).strip():
            yield f"{_shortened(diagram)!r} is an image without alternative text"
    for tag, attribute in (("script", "src"), ("link", "href")):
        for element in soup.find_all(tag):
            source = str(element.get(attribute, ""))
            if not source or (tag == "link" and "stylesheet" not in (element.get("rel") or [])):
                continue
            if urlsplit(source).netloc:
                yield f"{tag} {source!r} comes from another host"
            elif not _is_local_file(source, path):
                yield f"{tag} {source!r} does not exist"
    for box in soup.select(".system-message, .problematic"):
        yield f"shows an error: {_shortened(box)!r}"
    for reference in soup.select(".xref"):
        # Resolved links are inside <a>. Names in the signatures of the API are marked as references
        # too (class py), and may point to other libraries.
        if not reference.find_parent("a") and "py" not in (reference.get("class") or []):
            yield f"reference {_shortened(reference)!r} leads nowhere"


def notebook_problems(executed: Path, soup: BeautifulSoup) -> Iterator[str]:
    """Faults of the page of a notebook: tags and figures."""
    notebook = read_executed(executed)
    tagged = len(cells_tagged(notebook, "parameters"))
    if tagged != 1:
        yield f"{tagged} cells are tagged 'parameters' after execution; there must be exactly 1"
    for figure in declared_figures(notebook, executed.name):
        element = soup.find("figure", id=figure.name)
        if not isinstance(element, Tag):
            yield f"figure {figure.name!r} is not on the page"
        elif not element.select_one("img, [role=img]"):
            yield f"figure {figure.name!r} has no image"
        elif not element.find("figcaption"):
            yield f"figure {figure.name!r} has no caption"
    for image in soup.select(".cell_output img"):
        if not image.find_parent("figure"):
            yield f"image {image['src']!r} is shown by a cell that declares no figure"


def _is_local_file(source: str, page: Path) -> bool:
    parts = urlsplit(source)
    return not parts.netloc and bool(parts.path) and (page.parent / unquote(parts.path)).is_file()


def _has_alt_text(image: Tag) -> bool:
    text = str(image.get("alt", "")).strip()
    # Sphinx fills in the file name if the author gave no text.
    return bool(text) and not text.lower().endswith(_IMAGE_SUFFIXES)


def _shortened(element: Tag, length: int = 80) -> str:
    text = " ".join(element.get_text(" ").split())
    return text if len(text) <= length else text[: length - 1] + "…"
