"""Which files count as sources, and how texts are read."""

import subprocess
from codecs import BOM_UTF8
from pathlib import Path, PurePath

import pytest

from book_tools.claims import load_claims
from book_tools.cli import main
from book_tools.errors import BookError
from book_tools.execution import fingerprint
from book_tools.figures import load_figures
from book_tools.sources import is_source, read_text
from book_tools.staging import convert, stage_sources
from feature_learning.sweeps.grid import read_grid

ROOT = Path(__file__).parents[2]
#: What systems, editors and tools leave beside files.
DROPPINGS = [
    *(".DS_Store", "Thumbs.db", "desktop.ini", "Icon\r", ".directory"),
    *("._small.py", ".small.py.swp", ".#small.py", "#small.py#", "small.py~", "4913"),
    *("small.py.orig", "small.py.rej", "small.py.bak", "small.py___jb_tmp___", ".small.csv.x.part"),
    *(".ipynb_checkpoints/page.md", "__pycache__/small.cpython-311.pyc", "small.so", "core"),
    *("small.egg-info/top_level.txt", ".mypy_cache/3.11/small.json"),
]
NOTEBOOK = (
    "---\njupytext:\n  text_representation: {format_name: myst}\n---\n\n# Page\n\n"
    "```{code-cell} python\n:tags: [parameters]\nprofile = 'stored'\n```\n"
)


@pytest.mark.parametrize("name", DROPPINGS)
def test_what_is_left_beside_the_sources_changes_nothing_and_is_not_published(small, name):
    before = fingerprint(small, "book/page", {"profile": "stored"})
    for folder in ("lib", "book", "book/data", "book/_static", "book/data/sweeps"):
        place = small.root / folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch()
    assert fingerprint(small, "book/page", {"profile": "stored"}) == before
    stage_sources(small, small.stage("stored"))
    stage = small.stage("stored")
    assert not [path for path in stage.rglob("*") if str(path).endswith(f"/{name}")]


def test_a_link_that_leads_nowhere_does_not_stop_a_build(small):
    (small.root / "book" / ".#page.md").symlink_to("somebody@somewhere.1:2")
    (small.root / "book" / "gone.md").symlink_to("gone")
    stage_sources(small, small.stage("stored"))


def test_every_file_of_this_book_that_git_keeps_is_a_source():
    command = ["git", "-C", str(ROOT), "ls-files", "-z", "book", "lib"]
    names = subprocess.run(command, capture_output=True, text=True).stdout.split("\0")
    if not any(names):
        pytest.skip("this is no checkout")
    left = [name for name in names if name and not is_source(PurePath(name))]
    # They say to a type checker that there are types, and to nobody else anything.
    assert [name for name in left if not name.endswith("py.typed")] == []


# A mark of the order of bytes before a text


def everything(project):
    grid = read_grid(project.sweeps / "small.toml")
    return project.pages(), project.notebooks(), load_claims(project), load_figures(project), grid


def test_a_mark_before_a_text_changes_nothing_but_its_bytes(small):
    small.source("book/page").write_text(NOTEBOOK, encoding="utf-8")
    (small.root / "book" / "references.bib").write_text("@misc{a}\n", encoding="utf-8")
    read = everything(small)
    plain = convert(small, small.build / "plain")[0].read_bytes()
    for path in [*small.root.glob("*.yml"), *small.root.glob("book/**/*.*")]:
        path.write_bytes(BOM_UTF8 + path.read_bytes())
    assert everything(small) == read
    assert convert(small, small.build / "marked")[0].read_bytes() == plain
    staged = [path for path in (small.build / "marked").rglob("*") if path.is_file()]
    assert len(staged) > 5
    assert [path for path in staged if path.read_bytes().startswith(BOM_UTF8)] == []


@pytest.mark.parametrize(
    ("name", "profile"),
    [
        ("book/page.md", "paper"),
        ("_toc.yml", "paper"),
        ("claims.yml", "paper"),
        ("book/data/sweeps/figures.toml", "stored"),
    ],
)
def test_a_text_that_is_not_utf_8_is_one_line_that_names_it(small, name, profile, capsys):
    (small.root / name).write_bytes("# Gödel\n".encode("latin-1"))
    assert main(["--root", str(small.root), "build", "--profile", profile]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert Path(name).name in line
    assert "0xf6" in line


def test_a_text_is_read_without_the_mark_and_with_every_other_character(tmp_path):
    place = tmp_path / "a.md"
    place.write_bytes(BOM_UTF8 + b"\xef\xbb\xbfa\r\n")
    assert read_text(place) == "\ufeffa\n"
    place.write_bytes(b"\xff\xfea\x00")
    with pytest.raises(BookError, match=r"a\.md is not UTF-8"):
        read_text(place)
