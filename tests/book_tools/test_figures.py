"""The stored results that a figure needs, and that a build in profile stored requires."""

import pytest

from book_tools.build import build
from book_tools.cli import main
from book_tools.errors import BookError
from book_tools.figures import load_figures, render_figures
from book_tools.project import Project
from feature_learning.analysis.loading import filter_cells
from feature_learning.sweeps.grid import read_grid


def test_a_figure_says_what_it_needs(small):
    listing = load_figures(small)
    figure = listing.figure("1")
    assert (figure.page, figure.hours) == ("book/page", 0.5)
    assert [need.blocks for need in figure.needs] == [("chains",), ("exact",)]
    assert figure.needs[0].only == {"n_train": [10]}
    assert listing.grids("1") == listing.grids() == ["small.toml"]


def test_a_figure_is_found_by_its_panels_and_in_any_case(small, capsys):
    path = small.sweeps / "figures.toml"
    text = path.read_text(encoding="utf-8").replace('id = "2"', 'id = "R2"\npanels = ["R2a", "2b"]')
    path.write_text(text, encoding="utf-8")
    listing = load_figures(small)
    for name in ("R2", "r2", "R2a", "r2A", "2b", "2B", " r2 "):
        assert listing.figure(name).id == "R2"
    assert listing.figure("1").id == "1"
    for wrong in ("2", "9", "2c", ""):
        with pytest.raises(BookError) as caught:
            listing.figure(wrong)
        assert str(caught.value) == (f"figure is {wrong!r}; figures.toml knows 1, R2 (R2a, 2b)")
    assert main(["--root", str(small.root), "reproduce", "--figure", "9"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "book_tools: error: figure is '9'; figures.toml knows 1, R2 (R2a, 2b)\n"


@pytest.mark.parametrize(
    ("name", "id"),
    [
        *(("1a", "1"), ("1B", "1"), ("2a", "2"), ("3c", "3"), ("4b", "4"), ("4D", "4d")),
        *(("4e", "4d"), ("r1", "R1"), ("R2", "R2"), ("a1", "A1"), ("Audit", "audit")),
    ],
)
def test_the_panels_of_this_book_are_names_of_its_figures(root, name, id):
    assert load_figures(Project(root)).figure(name).id == id


def test_a_book_without_the_file_needs_nothing(small):
    (small.sweeps / "figures.toml").unlink()
    assert load_figures(small).figures == ()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('id = "2"', 'id = "1"', "figure '1' is listed twice"),
        ('id = "2"', "id = 2", "figure 2: id is 2; it must be a text"),
        ('id = "2"', 'id = "2"\npanels = ["1"]', "figure '2': panel '1' is listed twice"),
        ('id = "2"', 'id = "2"\npanels = ["2a", "2A"]', "figure '2': panel '2A' is listed twice"),
        ('id = "2"', 'id = "2"\npanels = "2a"', "figure '2': panels is '2a'; it must be a list"),
        ("hours = 3", "hours = 0", "figure '2': hours is 0; it must be a number above 0"),
        ("hours = 3", "", "figure '2': hours is None"),
        ("hours = 3", "hours = 3\ncost = 1", "figure '2': 'cost' is none of its fields"),
        ('"book/page"', '"book/none"', "page 'book/none' is not in _toc.yml"),
        ('blocks = ["exact"]', "blocks = []", "figure '1': blocks is \\[\\]"),
        ("only = { n_train = [10] }", "only = { n_train = 10 }", "must be a table of lists"),
        ('reason = "For the picture."', "", "arrays 1: reason is None"),
        ("small.toml", "large.toml", "there is no sweep 'large.toml'"),
        ("[[figure]]", "[figure", "is not TOML"),
    ],
)
def test_a_wrong_row_is_named_with_its_field(small, old, new, message):
    path = small.sweeps / "figures.toml"
    path.write_text(path.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
    with pytest.raises(BookError, match=message):
        load_figures(small)


def test_a_page_without_its_stored_table_stops_the_build_with_a_sentence(small, capsys):
    with pytest.raises(BookError, match=r"book/page shows .* book/data/results/small.csv is not"):
        build(small, "stored")
    assert main(["--root", str(small.root), "build", "--profile", "stored"]) == 1
    error = capsys.readouterr().err
    assert "`make reproduce FIGURE=1` computes it" in error
    assert error.count("\n") == 1
    assert not small.html.exists()


def test_the_files_of_this_book_name_blocks_and_values_that_there_are(root):
    project = Project(root)
    listing = load_figures(project)
    assert listing.figures
    for need in (*listing.arrays, *(each for figure in listing.figures for each in figure.needs)):
        grid = read_grid(project.sweeps / need.grid)
        for block in need.blocks:
            cells = filter_cells(grid, [block], need.only).cells
            for name, values in need.only.items():
                assert {getattr(cell.config, name) for cell in cells} == set(values)


def test_the_readme_has_the_table_of_figures(root):
    table = render_figures(load_figures(Project(root)))
    assert table in (root / "README.md").read_text(encoding="utf-8"), f"README.md needs\n{table}"


def test_the_table_of_figures_has_a_row_a_figure(small):
    _, _, first, second = render_figures(load_figures(small)).splitlines()
    assert first == (
        "| 1: learning curves | [page](book/page.md) | `make reproduce FIGURE=1` | 30 min |"
    )
    assert second == "| 2: everything | the table alone | `make reproduce FIGURE=2` | 3 h |"
