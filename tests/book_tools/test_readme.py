"""The figure in the README is the one drawn from the stored results."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from book_tools.notebooks import read_executed

pytestmark = pytest.mark.book

PAGE, NAME = "book/part-paper/figure-1-learning-curves", "figure-1a"


def drawn(book, page, name):
    """The PNG of a figure of an executed notebook."""
    notebook = read_executed(book.executed("stored") / f"{page}.ipynb")
    (cell,) = (
        cell
        for cell in notebook.cells
        if cell.metadata.get("mystnb", {}).get("figure", {}).get("name") == name
    )
    (png,) = (o.data["image/png"] for o in cell.outputs if "image/png" in o.get("data", {}))
    return base64.b64decode(png)


def test_the_picture_of_the_readme_is_drawn_from_the_stored_results(book, tmp_path):
    shown = book.root / "book" / f"{NAME}.png"
    assert f"]({shown.relative_to(book.root)})" in (book.root / "README.md").read_text("utf-8")
    now = drawn(book, PAGE, NAME)
    pictures = [Image.open(io.BytesIO(data)).convert("RGB") for data in (now, shown.read_bytes())]
    new, old = (np.asarray(picture, dtype=float) for picture in pictures)
    # Of grey levels to 255: letters may be smoothed in another way, points and curves do not move.
    # Each revision rings other points, about ten, which changes the mean by up to 1; another curve
    # or another entry of the legend changes it by 3 and more.
    same = new.shape == old.shape and np.abs(new - old).mean() < 1.5
    fresh = tmp_path / shown.name
    fresh.write_bytes(now)
    assert same, f"the stored results draw another picture: copy {fresh} to {shown}"
