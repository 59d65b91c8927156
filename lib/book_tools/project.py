"""Locations of the sources, the table of contents and the build folders.

Sources are never changed. Everything made from them is under ``_build``::

    _build/executed/<profile>/   executed notebooks, kept between builds
    _build/stage/<profile>/      the sources of one build: pages, executed notebooks, claims table
    _build/html/                 the finished book
    _build/store/<sweep>/        results that are computed again, one file each
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from sphinx_external_toc.parsing import MalformedError, parse_toc_data

from book_tools.errors import BookError
from book_tools.notebooks import is_notebook
from book_tools.sources import read_text
from feature_learning.choices import PROFILES


def checked_profile(profile: str) -> str:
    """Return ``profile`` if it is one of :data:`feature_learning.choices.PROFILES`.

    Raises
    ------
    BookError
        If it is not.
    """
    if profile not in PROFILES:
        raise BookError(f"profile is {profile!r}; it must be one of {', '.join(PROFILES)}")
    return profile


@dataclass(frozen=True)
class Project:
    """A checkout of the book.

    Attributes
    ----------
    root
        The folder that holds ``_config.yml`` and ``_toc.yml``.
    """

    root: Path

    @property
    def config(self) -> Path:
        """Settings of Jupyter Book."""
        return self.root / "_config.yml"

    @property
    def toc(self) -> Path:
        """The table of contents."""
        return self.root / "_toc.yml"

    @property
    def claims(self) -> Path:
        """The list of claims."""
        return self.root / "claims.yml"

    @property
    def library(self) -> Path:
        """The source folder of the library."""
        return self.root / "lib"

    @property
    def constraints(self) -> Path:
        """The exact versions of everything installed."""
        return self.root / "constraints.txt"

    @property
    def build(self) -> Path:
        """The folder of everything that can be made again."""
        return self.root / "_build"

    @property
    def html(self) -> Path:
        """The finished book."""
        return self.build / "html"

    @property
    def sweeps(self) -> Path:
        """The files that list the stored results, and the figures that need them."""
        return self.root / "book" / "data" / "sweeps"

    @property
    def results(self) -> Path:
        """The folder of the stored results, which may not exist yet."""
        return self.root / "book" / "data" / "results"

    def table(self, grid: str) -> Path:
        """The stored results of a sweep, given the name of its file."""
        return self.results / Path(grid).with_suffix(".csv").name

    def store(self, grid: str) -> Path:
        """The folder in which the results of a sweep are computed again."""
        return self.build / "store" / Path(grid).stem

    def executed(self, profile: str) -> Path:
        """The folder of executed notebooks of a profile."""
        return self.build / "executed" / profile

    def stage(self, profile: str) -> Path:
        """The folder in which the sources of one build are collected."""
        return self.build / "stage" / profile

    def pages(self) -> list[str]:
        """Every page of the table of contents, as written there, without suffix.

        Raises
        ------
        BookError
            If the table of contents is missing or malformed, or names a page twice or a page
            without source.
        """
        if not self.toc.is_file():
            raise BookError(f"{self.toc.name} is missing in {self.root}: is this the book's root?")
        try:
            site = parse_toc_data(load_yaml(self.toc))
        except MalformedError as error:
            raise BookError(f"{self.toc.name}: {error}") from error
        pages = [_without_suffix(name) for name in site]
        for page in pages:
            if pages.count(page) > 1:
                raise BookError(f"{self.toc.name}: page {page!r} is listed twice")
            if not self.source(page).is_file():
                raise BookError(f"{self.toc.name}: page {page!r} has no source {page}.md")
        return pages

    def source(self, page: str) -> Path:
        """The Markdown source of a page."""
        return self.root / f"{page}.md"

    def notebooks(self) -> list[str]:
        """The pages that are executed, in reading order."""
        return [page for page in self.pages() if is_notebook(self.source(page))]


def load_yaml(path: Path) -> Any:
    """Read a YAML file.

    Raises
    ------
    BookError
        If it is missing or malformed.
    """
    try:
        return yaml.safe_load(read_text(path))
    except FileNotFoundError as error:
        raise BookError(f"{path.name} is missing in {path.parent}") from error
    except yaml.YAMLError as error:
        raise BookError(f"{path.name}: {error}") from error


def _without_suffix(name: str) -> str:
    return name.removesuffix(".md").removesuffix(".ipynb")
