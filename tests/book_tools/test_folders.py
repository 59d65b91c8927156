"""Only folders that were made here are deleted."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from book_tools import folders
from book_tools.clean import clean
from book_tools.cli import main
from book_tools.errors import InputError
from book_tools.folders import BOOK, NOTEBOOKS, STAGE, check_fresh, fresh, make, put_in_place
from book_tools.staging import convert, stage_sources

ROOT = Path(__file__).parents[2]
NOTEBOOK = "---\njupytext: {}\n---\n\n# P\n\n```{code-cell}\n:tags: [parameters]\na = 1\n```\n"


@pytest.fixture
def project(small):
    """A book of one notebook, in a folder beside which there is something else."""
    small.source("book/page").write_text(NOTEBOOK, encoding="utf-8")
    return small


def content(folder):
    return {
        path.relative_to(folder): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


# Which folders are emptied


@pytest.mark.parametrize(
    "out",
    [".", "..", "/", "book", "book/data", "lib", "new", "book/new", "_build", "book/intro.md"],
)
def test_nothing_that_is_holds_or_lies_in_the_sources_is_emptied(project, out, monkeypatch, capsys):
    before = content(project.root)
    monkeypatch.chdir(project.root)
    assert main(["convert", "--out", out]) == 2
    assert content(project.root) == before
    (line,) = capsys.readouterr().err.splitlines()
    assert f" {out} " in line


@pytest.mark.parametrize("target", ["book", "."])
def test_a_link_that_leads_to_the_sources_is_no_way_to_empty_them(
    project, target, tmp_path_factory
):
    link = tmp_path_factory.mktemp("elsewhere") / "link"
    link.symlink_to(project.root / target)
    before = content(project.root)
    for out in (link, link / "new"):
        with pytest.raises(InputError, match=r"sources|holds the book"):
            convert(project, out)
    assert content(project.root) == before


def test_a_build_folder_that_is_a_link_to_the_sources_is_not_used(project):
    project.build.symlink_to(project.root / "book")
    before = content(project.root)
    for folder in (project.stage("stored"), project.html):
        with pytest.raises(InputError, match="among the sources"):
            check_fresh(project.root, folder, STAGE)
    assert content(project.root) == before


def test_a_folder_with_something_of_others_in_it_is_not_emptied(project, tmp_path_factory, capsys):
    out = tmp_path_factory.mktemp("mine")
    (out / "thesis.tex").touch()
    # Another program's mark is not ours.
    (out / "CACHEDIR.TAG").write_text(folders.STANDARD + "\n# made by pytest\n", encoding="utf-8")
    assert main(["--root", str(project.root), "convert", "--out", str(out)]) == 2
    assert str(out) in capsys.readouterr().err
    assert (out / "thesis.tex").exists()


def test_a_folder_that_was_made_for_it_is_emptied_and_filled_again(project, tmp_path_factory):
    for out in (tmp_path_factory.mktemp("empty"), project.build / "nbval"):
        for _ in range(2):
            assert [path.name for path in convert(project, out)] == ["page.ipynb"]
            assert not (out / "book" / "old").exists()
            (out / "book" / "old").touch()
    # What lies above a folder outside of the build is nobody's to delete.
    deep = tmp_path_factory.mktemp("parent") / "new" / "out"
    convert(project, deep)
    assert folders.purpose(deep) == NOTEBOOKS
    assert folders.purpose(deep.parent) is None


def test_a_folder_that_was_made_for_something_else_is_not_emptied(project):
    kept = make(project.build / "store")
    (kept / "result").touch()
    stage_sources(project, project.stage("stored"))
    for folder in (kept, project.stage("stored")):
        with pytest.raises(InputError, match="did not make it to hold unexecuted notebooks"):
            convert(project, folder)
    assert (kept / "result").exists()


def test_nothing_is_followed_out_of_a_folder_that_is_emptied(project, tmp_path_factory):
    mine = tmp_path_factory.mktemp("mine")
    (mine / "thesis.tex").touch()
    out = fresh(project.root, project.build / "out", NOTEBOOKS)
    (out / "link").symlink_to(mine)
    fresh(project.root, out, NOTEBOOKS)
    assert not (out / "link").exists()
    assert (mine / "thesis.tex").exists()


def test_a_book_of_somebody_else_is_neither_replaced_nor_removed(project, capsys):
    project.html.mkdir(parents=True)
    (project.html / "index.html").write_text("mine", encoding="utf-8")
    assert main(["--root", str(project.root), "build"]) == 2
    out, err = capsys.readouterr()
    assert out == "", "it was not checked before anything was done"
    assert str(project.html) in err
    new = make(project.build / "new")
    with pytest.raises(InputError):
        put_in_place(project.root, new, project.html, project.build / "old", BOOK)
    assert (project.html / "index.html").read_text(encoding="utf-8") == "mine"
    assert new.is_dir()


def test_a_book_stays_where_it_is_if_the_new_one_cannot_take_its_place(project, monkeypatch):
    old = fresh(project.root, project.html, BOOK)
    (old / "index.html").touch()
    rename = Path.rename

    def fail(path, target):
        if path.name == "new":
            raise OSError("no")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(OSError, match="no"):
        put_in_place(project.root, make(project.build / "new"), old, project.build / "old", BOOK)
    assert (old / "index.html").exists()


# Cleaning


def run(root, *arguments):
    """Run it as ``make`` does, with a Python that has no packages."""
    return subprocess.run(
        [sys.executable, "-S", "-B", "-m", "book_tools.clean", *arguments],
        cwd=root,
        env={"PYTHONPATH": str(ROOT / "lib")},
        capture_output=True,
        text=True,
    )


def test_cleaning_removes_what_was_made_and_leaves_and_names_the_rest(project, tmp_path_factory):
    root, elsewhere = project.root, tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "kept").touch()
    sources = content(root)
    assert run(root, "--make", ".venv").returncode == 0
    (root / ".venv" / "bin").mkdir()
    convert(project, project.build / "nbval")
    with folders.scratch(project.build, "stopped") as place:
        shutil.copytree(place, project.build / ".stopped")
    (project.build / "speed.csv").touch()
    caches = (".mypy_cache", ".pytest_cache")
    for name in caches:
        (root / name).mkdir()
        (root / name / "x").touch()
    (root / ".mypy_cache" / "CACHEDIR.TAG").write_text(folders.STANDARD, encoding="utf-8")
    mine = project.build / "html"
    mine.mkdir()
    (project.build / "notes.txt").touch()
    (project.build / "link").symlink_to(elsewhere)

    done = run(root)
    assert done.returncode == 0
    named = [line.split(" is left")[0] for line in done.stderr.splitlines()]
    assert named == ["_build/html", "_build/link", "_build/notes.txt"]
    assert {path.name for path in project.build.iterdir()} == {
        *("html", "link", "notes.txt", "CACHEDIR.TAG")
    }
    assert not (root / ".venv").exists()
    assert [(root / name).exists() for name in caches] == [False, True]
    assert (elsewhere / "kept").exists()

    for path in (mine, root / ".pytest_cache"):
        shutil.rmtree(path)
    (project.build / "notes.txt").unlink()
    (project.build / "link").unlink()
    assert run(root).stderr == ""
    assert content(root) == sources


def test_cleaning_leaves_an_environment_of_the_users_own(project):
    venv = project.root / ".venv"
    venv.mkdir()
    (venv / "pyvenv.cfg").touch()
    assert run(project.root, "--make", ".venv").returncode == 3
    assert clean(project.root) == [venv]
    assert (venv / "pyvenv.cfg").exists()


def test_cleaning_follows_no_link(project, tmp_path_factory):
    elsewhere = make(tmp_path_factory.mktemp("elsewhere"))
    (elsewhere / "kept").touch()
    for name in ("_build", ".venv", ".mypy_cache"):
        (project.root / name).symlink_to(elsewhere)
    assert clean(project.root) == [project.build, project.root / ".venv"]
    assert (elsewhere / "kept").exists()
    assert project.build.is_symlink()


def test_cleaning_that_was_stopped_can_be_taken_up_again(project, monkeypatch):
    made = make(project.build / "store")
    (made / "a").touch()
    (made / "b").mkdir()

    def stop(*_arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(folders.shutil, "rmtree", stop)
    with pytest.raises(KeyboardInterrupt):
        clean(project.root)
    monkeypatch.undo()
    assert clean(project.root) == []
    assert not project.build.exists()


def test_cleaning_elsewhere_is_refused(tmp_path):
    done = run(tmp_path)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1


def test_make_clean_calls_it(project):
    for name in ("Makefile", "lib"):
        target = project.root / name
        if target.is_dir():
            shutil.rmtree(target)
        target.symlink_to(ROOT / name)
    (project.root / ".venv").mkdir()
    (project.root / ".venv" / "mine").touch()
    make(project.build / "store")
    variables = {"PATH": os.environ["PATH"]}
    command = ["make", "clean", f"PYTHON={sys.executable}"]
    done = subprocess.run(command, cwd=project.root, env=variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (project.root / ".venv" / "mine").exists()
    assert not project.build.exists()
