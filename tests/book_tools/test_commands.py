"""The commands exclude each other; how they write files and how they end."""

import ast
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from book_tools import cli
from book_tools.clean import LOCK
from book_tools.cli import main
from book_tools.errors import BookError, InputError, details_first
from book_tools.folders import make
from feature_learning.errors import FeatureLearningError
from feature_learning.files.locks import held

ROOT = Path(__file__).parents[2]
NOTEBOOK = """\
---
jupytext:
  text_representation: {format_name: myst}
---

# Page

```{code-cell} python
:tags: [parameters]
profile = "stored"
```

```{code-cell} python
import os, time
from pathlib import Path
Path("number").write_text(str(os.getpid()))
Path("number").rename(r"STARTED")
time.sleep(600)
```
"""

#: Executes the notebooks of a project without a book, as a build does.
EXECUTING = """
import sys
from pathlib import Path
from book_tools.parallel import execute_all
from book_tools.project import Project
from feature_learning.cli.ending import leave, run_program

def execute():
    project = Project(Path(sys.argv[1]))
    execute_all(project, project.notebooks(), "paper", stage=project.root)
    return 0

leave(run_program("book_tools", execute))
"""

# One at a time


@pytest.mark.parametrize(
    "command", [["build"], ["convert", "--out", "_build/nbval"]], ids=lambda c: c[0]
)
def test_a_command_beside_a_build_is_refused_in_one_line_and_changes_nothing(
    small, command, monkeypatch, capsys
):
    monkeypatch.chdir(small.root)
    with held(make(small.build) / LOCK):
        before = sorted(small.root.rglob("*"))
        assert main(command) == 1
        assert sorted(small.root.rglob("*")) == before
    out, err = capsys.readouterr()
    assert out == ""
    (line,) = err.splitlines()
    assert "another build is running" in line


def test_cleaning_beside_a_build_is_refused(small):
    run = [sys.executable, "-m", "book_tools.clean"]
    variables = {**os.environ, "PYTHONPATH": str(ROOT / "lib")}
    with held(make(small.build) / LOCK):
        done = subprocess.run(run, cwd=small.root, env=variables, capture_output=True, text=True)
        assert done.returncode == 2
        assert len(done.stderr.splitlines()) == 1
        assert small.build.is_dir()
    done = subprocess.run(run, cwd=small.root, env=variables, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert not small.build.exists()


def test_no_folder_is_made_where_there_is_no_book(tmp_path, capsys):
    assert main(["--root", str(tmp_path), "build"]) == 1
    assert "_toc.yml" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


# How they end


def test_the_last_line_names_the_cause_and_the_details_stand_before_it(capsys):
    with pytest.raises(InputError, match=r"\Acause\Z"), details_first():
        raise InputError("cause:\n    detail")
    assert capsys.readouterr().err == "    detail\n"
    with pytest.raises(BookError, match=r"\Acause\Z"), details_first():
        raise BookError("cause")
    assert capsys.readouterr().err == ""


def test_errors_of_the_library_and_of_the_system_are_one_line(small, monkeypatch, capsys):
    for error, code in ((FeatureLearningError("why"), 2), (PermissionError(13, "no", "a"), 2)):

        def fail(*_arguments, error=error):
            raise error

        monkeypatch.setattr(cli, "build", fail)
        assert main(["--root", str(small.root), "build"]) == code
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("book_tools: error: ")


def test_a_build_that_is_asked_to_end_says_so_and_leaves_no_kernel(small, tmp_path):
    started = tmp_path / "started"
    text = NOTEBOOK.replace("STARTED", str(started))
    small.source("book/page").write_text(text, encoding="utf-8")
    (make(small.build / "matplotlib") / "fontlist-none.json").touch()  # nothing is drawn
    process = subprocess.Popen(
        [sys.executable, "-c", EXECUTING, str(small.root)],
        env={**os.environ, "PYTHONPATH": str(ROOT / "lib")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    wait_until(lambda: started.exists() or process.poll() is not None)
    assert process.poll() is None, process.communicate()[1]
    kernel = int(started.read_text(encoding="utf-8"))
    # As a batch system does it: to every process that belongs to it.
    os.killpg(process.pid, signal.SIGTERM)
    process.wait(timeout=60)
    assert not alive(kernel), "the command ended before its kernel"
    err = process.communicate()[1]
    assert process.returncode == 128 + signal.SIGTERM
    assert "Traceback" not in err
    assert err.splitlines()[-1].startswith("book_tools: interrupted")
    assert not list(small.executed("stored").rglob("*.ipynb"))


def wait_until(true, seconds=60):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.05)


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # Where nobody fetches what has ended, it stays in the list of processes.
    status = Path(f"/proc/{pid}/stat")
    return not (status.exists() and status.read_text().rpartition(")")[2].split()[0] == "Z")


# How they write


#: What writes or deletes, and where it may be called all the same.
WRITERS = {"write_text", "write_bytes", "to_csv", "savez", "save", "savefig", "dump", "touch"}
DELETERS = {"rmtree", "removedirs"}
ALLOWED = {
    ("folders.py", "write_text"): "the mark, which needs nothing but Python itself",
    ("folders.py", "rmtree"): "of what lies in a folder that carries the mark",
    ("speed.py", "to_csv"): "gives a text",
}


def test_everything_is_written_by_the_one_writer_and_deleted_in_one_place():
    found = set()
    for path in [*(ROOT / "lib/book_tools").glob("*.py"), *(ROOT / "lib/benchmarks").glob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and (name := writer(node)):
                found.add((path.name, name))
    assert found == set(ALLOWED)


def writer(call):
    """The name of a call that writes or deletes; None of any other."""
    function = call.func
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    owner = ast.unparse(function.value) if isinstance(function, ast.Attribute) else ""
    if name in WRITERS | DELETERS:
        return name
    if name == "write" and owner in ("nbformat", "jupytext"):
        return name
    modes = [*call.args, *(each.value for each in call.keywords)]
    texts = [each.value for each in modes if isinstance(each, ast.Constant)]
    if name in ("open", "fdopen") and any(set(str(text)) & set("wax+") for text in texts[:2]):
        return name
    return None


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("path.write_text('')", "write_text"),
        ("open(path, 'w')", "open"),
        ("path.open('a')", "open"),
        ("path.open(mode='x')", "open"),
        ("nbformat.write(notebook, path)", "write"),
        ("frame.to_csv(path)", "to_csv"),
        ("shutil.rmtree(path)", "rmtree"),
        ("open(path)", None),
        ("atomic.write(path, text)", None),
    ],
)
def test_writers_and_deleters_are_recognised(code, name):
    assert writer(ast.parse(code).body[0].value) == name


@pytest.mark.parametrize("words", [["check"], ["build"], ["reproduce"]])
def test_of_a_folder_that_is_no_book_no_command_says_that_all_is_well(tmp_path, capfd, words):
    for root in (tmp_path, tmp_path / "missing"):
        assert main(["--root", str(root), *words]) == 1
        assert "is this the book's root?" in capfd.readouterr().err
