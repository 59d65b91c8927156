"""Which files are sources, and how text files are read.

Editors, file managers and tools leave files beside the sources: ``.DS_Store``, ``._page.md``,
``page.md~``, ``.page.md.swp``. Since no list of them is complete, the endings of sources are listed
instead.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePath

from book_tools.errors import BookError

CODE = {".c", ".h", ".py", ".pyi"}
DATA = {".csv", ".json", ".npy", ".npz", ".toml", ".yaml", ".yml"}
PAGES = {".bib", ".css", ".html", ".js", ".md", ".rst", ".txt"}
PICTURES = {".gif", ".ico", ".jpeg", ".jpg", ".pdf", ".png", ".svg", ".webp"}
FONTS = {".ttf", ".woff", ".woff2"}

SUFFIXES = frozenset(CODE | DATA | PAGES | PICTURES | FONTS)
"""File name endings of sources."""
TEXTS = frozenset(CODE | DATA | PAGES) - {".npy", ".npz"}
"""File name endings of text files."""
_MADE = {"__pycache__", "_generated"}


def is_source(path: PurePath) -> bool:
    """Whether a file, named relative to a folder of sources, is one."""
    folders = path.parts[:-1]
    return (
        path.suffix.lower() in SUFFIXES
        and not any(part.startswith(".") for part in path.parts)
        and not any(part in _MADE or part.endswith(".egg-info") for part in folders)
    )


def sources(folder: Path) -> Iterator[Path]:
    """The sources in a folder and its subfolders, in a fixed order."""
    for path in sorted(folder.rglob("*")):
        if is_source(path.relative_to(folder)) and path.is_file():
            yield path


def read_text(path: Path) -> str:
    """The text of a source, without a byte-order mark.

    Raises
    ------
    BookError
        If it is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise BookError(
            f"{path.name} is not UTF-8: byte {error.start} is {error.object[error.start]:#04x}"
        ) from error
