"""The built book in a browser without a network."""

import io
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from book_tools.notebooks import declared_figures, read_executed
from book_tools.project import Project

pytestmark = pytest.mark.book

PROJECT = Project(Path(__file__).parents[2])
PAGES = PROJECT.pages()

# Of grey levels between 0 and 255. A blank picture has variance 0; a single thin line on white
# reaches 100.
SMALLEST_VARIANCE = 25.0

# Resolves when MathJax has typeset the page, at once on a page that does not ask for it. Its script
# is deferred, so it has run by the time the page counts as loaded.
WAIT_FOR_MATHEMATICS = """
const done = arguments[arguments.length - 1];
if (document.querySelector('script[src*="mathjax"]') === null) done(true);
else if (!window.MathJax || !MathJax.startup) done('MathJax did not load');
else MathJax.startup.promise.then(() => done(true), (error) => done(String(error)));
"""

# Images below the fold are loaded lazily only if they say so: ask for all, then look.
BROKEN_IMAGES = """
const done = arguments[arguments.length - 1];
const images = [...document.querySelectorAll('img')];
images.forEach((image) => { image.loading = 'eager'; });
Promise.allSettled(images.map((image) => image.decode())).then(() => done(
  images.filter((image) => !(image.complete && image.naturalWidth > 0)).map((image) => image.src)
));
"""

# What a reader sees of the article, apart from code (where dollars are allowed) and formulas.
PROSE = """
const copy = document.querySelector('article').cloneNode(true);
copy.querySelectorAll('pre, code, script, mjx-container').forEach((node) => node.remove());
return copy.textContent;
"""

MATHEMATICS = "return document.querySelectorAll('article mjx-container').length;"
FORMULAS = "return document.querySelectorAll('article .math').length;"
MATHEMATICAL_ERRORS = """
return [...document.querySelectorAll('mjx-merror, [data-mjx-error]')].map((node) => node.outerHTML);
"""
# What is drawn by a script and no picture.
DIAGRAM = "[role=img]:not(img)"
INTERACTIVE = [
    "book/part-paper/figure-4-phase-diagrams",
    "book/part-paper/figure-4de-single-index",
]
Y_AXIS = """
const box = (node) => node.getBoundingClientRect().toJSON();
const labels = [...document.querySelectorAll('.ytick text')];
return [box(document.querySelector('.ytitle')), labels.map(box)];
"""
TOO_WIDE = """
return [...document.querySelectorAll('.cell_output pre')]
  .filter((node) => node.scrollWidth > node.clientWidth + 1)
  .map((node) => node.textContent.slice(0, 80));
"""
# A range that spans a formula and its neighbours has rectangles in one line only: their middles lie
# within the tallest of them.
BROKEN_LINES = """
const together = [...document.querySelectorAll('article .together')];
const broken = together.filter((node) => {
  const boxes = [...node.childNodes].flatMap((child) => {
    const range = document.createRange();
    range.selectNodeContents(child);
    return [...range.getClientRects()];
  }).filter((box) => box.width > 0);
  const tallest = boxes.reduce((a, b) => (b.height > a.height ? b : a));
  return boxes.some((box) => box.top > tallest.bottom || box.bottom < tallest.top);
});
return [together.length, broken.map((node) => node.textContent)];
"""
PICTURES = """
const column = document.querySelector('article').getBoundingClientRect().width;
return [...document.querySelectorAll('article img')].map((image) => ({
  source: image.src,
  shown: image.getBoundingClientRect().width,
  natural: image.naturalWidth,
  link: image.parentElement.href,
  column,
}));
"""
SET_THEME = (
    "localStorage.setItem('mode', arguments[0]); localStorage.setItem('theme', arguments[0])"
)
COLOURS = """
const colour = (selector) => getComputedStyle(document.querySelector(selector)).color;
const ground = getComputedStyle(document.body).backgroundColor;
return [ground, colour('article p'), colour('article figcaption .caption-text')];
"""


def severe(browser):
    return [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]


def visit(browser, address):
    browser.get_log("browser")  # what earlier pages said
    browser.get(address)
    assert browser.execute_async_script(WAIT_FOR_MATHEMATICS) is True


@contextmanager
def window(browser, width, height):
    """A window of this size, for a while."""
    before = browser.get_window_size()
    browser.set_window_size(width, height)
    try:
        yield
    finally:
        browser.set_window_size(before["width"], before["height"])


def variance(image):
    return float(np.asarray(image.convert("L"), dtype=float).var())


def luminance(colour):
    """Relative luminance of a CSS colour, rgb(r, g, b), between 0 and 1 (WCAG 2)."""
    channels = [float(part) / 255 for part in colour[colour.index("(") + 1 : -1].split(",")[:3]]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return float(np.dot([0.2126, 0.7152, 0.0722], linear))


@pytest.mark.parametrize("page", PAGES)
def test_page_is_whole(browser, site, page):
    visit(browser, f"{site}/{page}.html")
    assert browser.title
    assert browser.execute_async_script(BROKEN_IMAGES) == []
    assert severe(browser) == []


@pytest.mark.parametrize("page", PAGES)
def test_mathematics_is_rendered(browser, site, page):
    visit(browser, f"{site}/{page}.html")
    assert browser.execute_script(MATHEMATICS) == browser.execute_script(FORMULAS)
    assert browser.execute_script(MATHEMATICAL_ERRORS) == []
    prose = browser.execute_script(PROSE)
    for raw in (r"\(", r"\[", "$$"):
        assert raw not in prose, f"{raw} stands in the text of {page}"


def test_there_is_mathematics_to_render(browser, site):
    visit(browser, f"{site}/book/part-paper/model-and-posterior.html")
    assert browser.execute_script(MATHEMATICS) > 0


def test_the_front_page_leads_into_the_book(browser, site):
    browser.get(f"{site}/")
    first = f"{site}/{PAGES[0]}.html"
    WebDriverWait(browser, 10).until(lambda running: running.current_url == first)


@pytest.mark.parametrize("page", PROJECT.notebooks())
def test_figures_are_not_blank(browser, book, profile, site, page):
    notebook = read_executed(book.stage(profile) / f"{page}.ipynb")
    figures = list(declared_figures(notebook, page))
    assert figures, f"the notebook {page} declares no figure"
    visit(browser, f"{site}/{page}.html")
    for figure in figures:
        if browser.find_elements(By.CSS_SELECTOR, f"figure#{figure.name} {DIAGRAM}"):
            continue  # drawn by a script: see below
        image = browser.find_element(By.CSS_SELECTOR, f"figure#{figure.name} img")
        assert image.get_attribute("alt") == figure.alt
        file = Image.open(book.html / image.get_attribute("src").removeprefix(f"{site}/"))
        assert variance(file) > SMALLEST_VARIANCE, figure.name
        # Dark axes on a transparent ground would vanish in the dark theme.
        assert np.asarray(file.convert("RGBA"))[..., 3].min() == 255, figure.name
        shown = Image.open(io.BytesIO(image.screenshot_as_png))
        assert variance(shown) > SMALLEST_VARIANCE, figure.name


@pytest.mark.parametrize("served", [True, False], ids=["served", "from a file"])
@pytest.mark.parametrize("page", INTERACTIVE)
def test_interactive_diagrams_are_drawn(browser, book, profile, site, page, served):
    visit(browser, f"{site}/{page}.html" if served else (book.html / f"{page}.html").as_uri())
    shown = browser.find_element(By.CSS_SELECTOR, f"figure {DIAGRAM}")
    WebDriverWait(browser, 20).until(
        lambda _: shown.find_elements(By.CSS_SELECTOR, ".js-plotly-plot .main-svg")
    )
    assert "needs JavaScript" not in shown.text
    assert severe(browser) == []
    notebook = read_executed(book.stage(profile) / f"{page}.ipynb")
    alternatives = [figure.alt for figure in declared_figures(notebook, page)]
    assert shown.get_attribute("aria-label") in alternatives
    image = Image.open(io.BytesIO(shown.screenshot_as_png))
    assert variance(image) > SMALLEST_VARIANCE
    # The title of the axis beside its labels, not on them.
    title, labels = browser.execute_script(Y_AXIS)
    assert labels
    assert all(title["right"] < label["left"] for label in labels)


def test_no_line_breaks_between_a_formula_and_its_punctuation(browser, site):
    # The narrower the window, the more lines there are to break.
    with window(browser, 500, 900):
        visit(browser, f"{site}/book/part-paper/mean-field-theory.html")
        together, broken = browser.execute_script(BROKEN_LINES)
    assert together > 50
    assert broken == []


@pytest.mark.parametrize("page", PAGES)
def test_pictures_fit_the_column_have_the_pixels_for_it_and_open_in_full_size(browser, site, page):
    with window(browser, 800, 1000):
        visit(browser, f"{site}/{page}.html")
        browser.execute_async_script(BROKEN_IMAGES)  # loads them all
        pictures = browser.execute_script(PICTURES)
    for picture in pictures:
        assert picture["shown"] <= picture["column"] + 1, picture
        assert picture["natural"] >= picture["shown"], picture
        assert picture["link"] == picture["source"], picture


@pytest.mark.parametrize("page", PROJECT.notebooks())
def test_printed_text_stays_in_the_column(browser, site, page):
    visit(browser, f"{site}/{page}.html")
    assert browser.execute_script(TOO_WIDE) == []


@pytest.mark.parametrize("page", PROJECT.notebooks())
def test_both_themes_are_legible(browser, site, page):
    backgrounds = {}
    for theme in ("light", "dark"):
        visit(browser, f"{site}/{page}.html")
        browser.execute_script(SET_THEME, theme)
        visit(browser, f"{site}/{page}.html")
        root = browser.find_element(By.TAG_NAME, "html")
        assert root.get_attribute("data-theme") == theme
        background, *texts = map(luminance, browser.execute_script(COLOURS))
        for text in texts:
            contrast = (max(background, text) + 0.05) / (min(background, text) + 0.05)
            assert contrast >= 4.5, f"text or caption in the {theme} theme"
        backgrounds[theme] = background
    assert backgrounds["dark"] < 0.1 < 0.5 < backgrounds["light"]
