"""The sources of one build, copied into a folder of their own.

Files that tools and editors leave beside the sources are not copied.
"""

from __future__ import annotations

import shutil
from codecs import BOM_UTF8
from pathlib import Path

from book_tools.errors import BookError
from book_tools.folders import NOTEBOOKS, STAGE, check_fresh, fresh
from book_tools.notebooks import read_notebook, write_notebook
from book_tools.project import Project
from book_tools.sources import TEXTS, read_text, sources
from feature_learning.files import atomic


def stage_sources(project: Project, stage: Path, made_for: str = STAGE) -> None:
    """Copy the sources of the book into a fresh folder, see :func:`book_tools.folders.fresh`.

    Raises
    ------
    BookError
        If a notebook breaks a rule of :mod:`book_tools.notebooks`, or if the folder may not be
        emptied.
    """
    check_fresh(project.root, stage, made_for)
    for page in project.notebooks():
        read_notebook(project.source(page))
    for path in (project.config, project.toc):
        if not path.is_file():
            raise BookError(f"{path.name} is missing in {project.root}")
    stage = fresh(project.root, stage, made_for)
    for path in (project.config, project.toc):
        _copy(path, stage / path.name)
    for path in sources(project.root / "book"):
        _copy(path, stage / path.relative_to(project.root))


def convert(project: Project, folder: Path) -> list[Path]:
    """Stage the sources with every notebook as an unexecuted ``.ipynb``, for ``pytest --nbval``.

    Returns
    -------
    list of Path
        The notebooks written.
    """
    stage_sources(project, folder, NOTEBOOKS)
    written = []
    for page in project.notebooks():
        target = folder / f"{page}.ipynb"
        write_notebook(read_notebook(project.source(page)), target)
        target.with_suffix(".md").unlink()
        written.append(target)
    return written


def _copy(source: Path, place: Path) -> None:
    """Copy a source; text files lose their byte-order mark."""
    place.parent.mkdir(parents=True, exist_ok=True)
    if source.suffix.lower() in TEXTS and source.read_bytes().startswith(BOM_UTF8):
        atomic.write(place, read_text(source))
    else:
        shutil.copy2(source, place)
