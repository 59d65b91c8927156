"""The built book, a server for it and a browser, each made once; and a small book with a sweep."""

import os
import shutil
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

from book_tools.build import is_current
from book_tools.project import Project
from book_tools.reproduce import reproduce

ROOT = Path(__file__).parents[2]

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
NO_BROWSER = (
    "no Chromium with its chromedriver was found; `apt-get install chromium chromium-driver` "
    "(Debian) or `brew install --cask chromium chromedriver` (macOS) installs both"
)


@pytest.fixture(scope="session")
def root():
    """The root of this book."""
    return ROOT


@pytest.fixture(scope="session")
def profile():
    """The profile in which the book under test was computed."""
    return "stored"


@pytest.fixture(scope="session")
def book(profile):
    """The project, with the book of its present sources in place."""
    project = Project(ROOT)
    if not is_current(project, profile):
        pytest.fail("the book of the present sources is not built: `make book` builds it")
    return project


@pytest.fixture(scope="session")
def site(book):
    """The address at which the built book is served."""
    handler = partial(SimpleHTTPRequestHandler, directory=book.html)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    """A headless Chromium; it must be there in CI."""
    binary = next(filter(None, map(shutil.which, BROWSERS)), None)
    driver = shutil.which("chromedriver")
    if binary is None or driver is None:
        if os.environ.get("CI"):
            pytest.fail(NO_BROWSER)
        pytest.skip(NO_BROWSER)
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for flag in (
        "headless=new",
        "no-sandbox",  # Chromium refuses to run as root with its sandbox
        "disable-gpu",
        "disable-dev-shm-usage",
        "no-first-run",
        "disable-background-networking",
        "disable-component-update",
        "disable-sync",
        "disable-quic",
        "window-size=1400,1200",
        f"user-data-dir={tmp_path_factory.mktemp('chromium')}",
    ):
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    with webdriver.Chrome(options=options, service=Service(driver)) as running:
        running.set_page_load_timeout(60)
        running.set_script_timeout(60)
        yield running


SWEEP = """\
[defaults]
dim = 6
sparsity = 2
width = 8
kappa = 0.1
n_test = 50

[[block]]
name = "chains"
reason = "Cells with a standard error over chains."
langevin_time = 40
step = 0.2
measurements = 20
chains = 4
n_train = [10, 20]
seed = [0, 1]

[[block]]
name = "single"
reason = "Cells whose error is that of the seeds."
method = "mf"
langevin_time = 40
step = 0.2
measurements = 20
chains = 1
n_train = [10, 20]
seed = [0, 1, 2]

[[block]]
name = "exact"
reason = "Cells without error."
method = "nngp"
n_train = [10, 20]
"""
FIGURES = """\
histograms = ["small.toml"]

[[figure]]
id = "1"
shows = "1: learning curves"
page = "book/page"
hours = 0.5

[[figure.needs]]
grid = "small.toml"
blocks = ["chains"]
only = { n_train = [10] }

[[figure.needs]]
grid = "small.toml"
blocks = ["exact"]

[[figure]]
id = "2"
shows = "2: everything"
hours = 3

[[figure.needs]]
grid = "small.toml"
blocks = ["chains", "single", "exact"]

[[arrays]]
grid = "small.toml"
blocks = ["chains"]
only = { n_train = [10] }
reason = "For the picture."
"""


def write_small(folder):
    files = {
        "_config.yml": 'title: Small\nauthor: A\nexecute: {execute_notebooks: "off"}\n',
        "_toc.yml": "format: jb-book\nroot: book/intro\nchapters:\n  - file: book/page\n",
        "claims.yml": "[]\n",
        "constraints.txt": "numpy==2.4.6\n",
        "lib/small.py": "",
        "book/intro.md": "# Small\n",
        "book/page.md": "# Page\n",
        "book/data/sweeps/small.toml": SWEEP,
        "book/data/sweeps/figures.toml": FIGURES,
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return Project(folder)


@pytest.fixture
def small(tmp_path):
    """A book of one page, with a sweep of 12 tiny cells and two figures; nothing is computed."""
    return write_small(tmp_path)


@pytest.fixture(scope="session")
def computed(tmp_path_factory):
    """The same book with everything computed; not to be changed."""
    project = write_small(tmp_path_factory.mktemp("computed"))
    assert reproduce(project, workers=2) == 0
    return project


@pytest.fixture
def stored(small, computed):
    """The small book with all of its results, but without the folder they were computed in."""
    shutil.copytree(computed.results, small.results)
    return small
