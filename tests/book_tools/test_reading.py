"""Reading the built pages of notebooks: download, unfold, look up."""

import nbformat
import pytest
from bs4 import BeautifulSoup

from book_tools.notebooks import cells_tagged, declared_figures, read_executed

pytestmark = pytest.mark.book


@pytest.fixture(scope="module")
def pages(book):
    """Every page of the built book, parsed."""
    return {
        page: BeautifulSoup((book.html / f"{page}.html").read_text("utf-8"), "html.parser")
        for page in book.pages()
    }


@pytest.fixture(scope="module")
def notebooks(book, profile):
    """The executed notebooks, by page."""
    found = {
        page: read_executed(book.stage(profile) / f"{page}.ipynb") for page in book.notebooks()
    }
    assert found, "the book has no notebook"
    return found


def test_every_notebook_can_be_downloaded_as_it_was_executed(book, pages, notebooks):
    for page, notebook in notebooks.items():
        links = pages[page].select(".dropdown-download-buttons a[href]")
        files = [(book.html / f"{page}.html").parent / link["href"] for link in links]
        (file,) = [file.resolve() for file in files if file.suffix == ".ipynb"]
        offered = nbformat.read(file, as_version=4)
        nbformat.validate(offered)
        assert offered == notebook, page
        assert any(cell.get("outputs") for cell in offered.cells), page


def test_code_that_makes_figures_is_folded_and_its_output_is_not(pages, notebooks, profile):
    for page, notebook in notebooks.items():
        hidden = cells_tagged(notebook, "hide-input")
        shown = pages[page].select("div.cell.tag_hide-input")
        assert len(shown) == len(hidden) > 0, page
        for cell in shown:
            (folded,) = cell.find_all("details", recursive=False)
            assert not folded.has_attr("open")
            assert folded.select_one("div.cell_input pre") is not None
            assert folded.select_one("div.cell_output") is None
        # Only the parameters stand open, with the values in force.
        (parameters,) = pages[page].select("div.cell.tag_parameters")
        assert f'profile = "{profile}"' in parameters.get_text()
        for cell in notebook.cells:
            if cell.cell_type == "code":
                tags = set(cell.metadata.get("tags", []))
                assert tags & {"hide-input", "hide-cell", "parameters"}
        folded = pages[page].select("div.cell.tag_hide-cell")
        assert len(folded) == len(cells_tagged(notebook, "hide-cell"))
        for cell in folded:
            assert [child.name for child in cell.find_all(recursive=False)] == ["details"]


def test_captions_are_numbered_through_the_book_and_say_what_was_promised(pages, notebooks):
    numbers = []
    for page, notebook in notebooks.items():
        for figure in declared_figures(notebook, page):
            caption = pages[page].select_one(f"figure#{figure.name} figcaption")
            numbers.append(caption.select_one(".caption-number").get_text().strip())
            text = caption.select_one(".caption-text").get_text()
            # A formula in dollars becomes one in the delimiters of MathJax.
            text = text.replace("\\(", "$").replace("\\)", "$")
            assert text.split()[:2] == figure.caption.split()[:2]
    assert numbers == [f"Plot {number + 1}" for number in range(len(numbers))]


def test_every_figure_is_referred_to_by_its_number(book, pages, notebooks):
    for page, notebook in notebooks.items():
        for figure in declared_figures(notebook, page):
            caption = pages[page].select_one(f"figure#{figure.name} .caption-number")
            links = [
                link
                for soup in pages.values()
                for link in soup.select(f'a.reference[href$="#{figure.name}"]')
                if link.select_one(".std-numref") is not None
            ]
            assert links, f"{figure.name} is referred to nowhere"
            for link in links:
                assert link.get_text() == caption.get_text().strip()


def test_tables_that_notebooks_print_are_tables_on_the_page(pages, notebooks):
    printed = 0
    for page, notebook in notebooks.items():
        tables = [
            output
            for cell in notebook.cells
            for output in cell.get("outputs", [])
            if "|---|" in output.get("data", {}).get("text/markdown", "")
        ]
        shown = pages[page].select("div.cell_output table")
        assert len(shown) >= len(tables)
        printed += len(tables)
    assert printed > 0
