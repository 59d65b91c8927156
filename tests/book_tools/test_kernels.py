"""A kernel uses the settings of the project, whatever the user has set."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import nbformat
import pytest

from book_tools import execution, kernels
from book_tools.errors import BookError
from book_tools.folders import make
from book_tools.kernels import OwnKernel, environment, short_folder, short_names, starting_kernels
from book_tools.notebooks import missing_pictures

ROOT = Path(__file__).parents[2]
HEADER = "---\njupytext:\n  text_representation: {format_name: myst}\n---\n\n# Page\n\n"
PARAMETERS = '```{code-cell} python\n:tags: [parameters]\nprofile = "stored"\n```\n\n'
FIGURE = """\
```{{code-cell}} python
---
mystnb:
  figure: {{name: fig-line, caption: A line.}}
  image: {{alt: A line.}}
---
{code}
```
"""
#: Everything that a user may have set, each so that it would show in the notebook below.
SET = {
    "COLUMNS": "7",
    "JUPYTER_CONFIG_DIR": "/nowhere",
    "JUPYTER_DATA_DIR": "{here}/jupyter",
    "JUPYTER_PATH": "{here}/jupyter",
    "JUPYTER_RUNTIME_DIR": "/dev/null/none",
    "MATPLOTLIBRC": "{here}/matplotlibrc",
    "MPLBACKEND": "agg",
    "PLOTLY_RENDERER": "json",
    "PYTHONOPTIMIZE": "2",
    "PYTHONSTARTUP": "{here}/startup.py",
    "PYTHONUTF8": "0",
    "PYTHONWARNINGS": "error",
    "PYTHONINSPECT": "1",
}
LOOK = """
import os, sys, warnings
import matplotlib.pyplot as plt
figure, axes = plt.subplots(figsize=(2, 2), facecolor="white")
axes.plot([0, 1])
warnings.warn("once")
print(sys.executable, "STARTED" in globals(), sys.flags.optimize, sys.flags.utf8_mode,
      plt.rcParams["lines.linewidth"], [name for name in NAMES if name in os.environ],
      file=open("seen", "w"))
plt.show()
"""


@pytest.fixture
def no_fonts(monkeypatch):
    """Where nothing is drawn, no list of fonts need be made."""
    monkeypatch.setattr(kernels, "_list_fonts", lambda variables: None)


@pytest.fixture
def run(small):
    """A function that executes a page of one cell, and returns the project."""

    def execute(code):
        text = HEADER + PARAMETERS + FIGURE.format(code=code.strip())
        small.source("book/page").write_text(text, encoding="utf-8")
        folder = small.root / "book"
        execution.execute(small, "book/page", {"profile": "stored"}, folder=folder)
        return small

    return execute


def test_nothing_that_the_user_has_set_changes_a_notebook(run, small, tmp_path, monkeypatch):
    (tmp_path / "matplotlibrc").write_text("lines.linewidth: 99\n", encoding="utf-8")
    (tmp_path / "startup.py").write_text("STARTED = True\n", encoding="utf-8")
    other = tmp_path / "jupyter" / "kernels" / "python3"
    other.mkdir(parents=True)
    spec = {"argv": ["false", "{connection_file}"], "display_name": "other", "language": "python"}
    (other / "kernel.json").write_text(json.dumps(spec), encoding="utf-8")
    for name, value in SET.items():
        monkeypatch.setenv(name, value.format(here=tmp_path))
    before = dict(os.environ)
    dropped = sorted(SET.keys() - {"MPLBACKEND", "PYTHONUTF8", "JUPYTER_RUNTIME_DIR"})
    run(LOOK.replace("NAMES", repr(dropped)))
    seen = (small.root / "book" / "seen").read_text(encoding="utf-8")
    assert seen.split() == [sys.executable, "False", "0", "1", "1.5", "[]"]
    assert dict(os.environ) == before


def test_the_kernel_is_that_of_this_python_whatever_is_installed(tmp_path, monkeypatch):
    other = tmp_path / "kernels" / "python3"
    other.mkdir(parents=True)
    (other / "kernel.json").write_text('{"argv": ["false"], "display_name": "x"}', encoding="utf-8")
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    found = OwnKernel(kernel_name="python3").kernel_spec
    assert found.argv[:3] == [sys.executable, "-m", "ipykernel_launcher"]


def test_what_a_python_needs_to_start_is_kept(small, no_fonts, monkeypatch):
    for name in ("PYTHONHOME", "PYTHONPYCACHEPREFIX", "LANG", "MY_OWN"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("PYTHONPATH", "x")
    given = environment(small)
    assert {given[name] for name in ("PYTHONHOME", "PYTHONPYCACHEPREFIX", "LANG")} == {"x"}
    assert (given["MY_OWN"], given["PYTHONPATH"]) == ("x", str(small.library))


def test_the_variables_are_the_users_again_after_an_error(small, no_fonts):
    before = dict(os.environ)
    with pytest.raises(ZeroDivisionError), starting_kernels(small):
        _ = 1 / 0
    assert dict(os.environ) == before


def test_a_kernel_that_dies_is_one_line_that_names_the_page(run, no_fonts):
    with pytest.raises(BookError, match="book/page: its kernel ended") as caught:
        run("import os\nos.kill(os.getpid(), 9)")
    assert len(str(caught.value).splitlines()) == 1


# Pictures


def test_a_notebook_without_a_picture_that_it_promises_is_not_kept(run, no_fonts, small):
    with pytest.raises(BookError, match="book/page: figure 'fig-line' was not drawn"):
        run("print('no picture')")
    assert not execution.is_executed(small, "book/page", {"profile": "stored"})
    assert not list(small.build.rglob("page.ipynb"))


@pytest.mark.parametrize(
    ("kind", "data", "shown"),
    [
        ("image/png", "AAAA", True),
        ("image/svg+xml", "<svg/>", True),
        ("text/html", '<div role="img" aria-label="A line"></div>', True),
        ("text/html", '<p><img src="data:image/png;base64,AAAA"></p>', True),
        ("text/html", "<table></table>", False),
        ("text/plain", "<Figure size 200x200 with 1 Axes>", False),
    ],
)
def test_a_picture_is_an_image_or_a_diagram_that_says_that_it_is_one(kind, data, shown):
    output = nbformat.v4.new_output("display_data", data={kind: data})
    figure = {"mystnb": {"figure": {"name": "fig-line"}}}
    cell = nbformat.v4.new_code_cell("", metadata=figure, outputs=[output])
    notebook = nbformat.v4.new_notebook(cells=[cell, nbformat.v4.new_code_cell("")])
    assert list(missing_pictures(notebook)) == ([] if shown else ["fig-line"])


# Sockets


def test_notebooks_run_with_a_folder_for_temporary_files_of_any_length(small, tmp_path):
    long = tmp_path / ("x" * 120)
    long.mkdir()
    text = HEADER + PARAMETERS
    small.source("book/page").write_text(text, encoding="utf-8")
    listed = make(small.build / "matplotlib") / "fontlist-none.json"
    listed.touch()  # nothing is drawn
    program = """
import sys
from pathlib import Path
from book_tools.parallel import execute_all
from book_tools.project import Project

project = Project(Path(sys.argv[1]))
execute_all(project, project.notebooks(), "paper", stage=project.root)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(small.root)],
        env={**os.environ, "PYTHONPATH": str(ROOT / "lib"), "TMPDIR": str(long)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "book/page: done" in done.stdout


def test_the_folder_for_sockets_is_the_users_if_it_is_short(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", "/dev")
    assert short_folder() == "/dev"
    long = tmp_path / ("x" * 80)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    with short_names():
        assert len(tempfile.gettempdir()) < 20
    assert tempfile.gettempdir() == str(long)
    monkeypatch.setattr(kernels, "_SHORT", ("/nowhere",))
    with pytest.raises(BookError, match=r"TMPDIR is .*xxx"):
        short_folder()
