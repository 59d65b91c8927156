"""The tools of the book, tested on books of one or two pages."""

import os
import re
import textwrap
from pathlib import Path

import nbformat
import pytest
import yaml
from bs4 import BeautifulSoup

from book_tools import build as build_module
from book_tools import execution
from book_tools.assets import prune
from book_tools.build import build, check_prose, claim_outcomes, is_current
from book_tools.check import check_book, page_problems, size_problems
from book_tools.claims import Verdict, compare, load_claims
from book_tools.claims_table import counts, render_front, render_page, summary
from book_tools.cli import main
from book_tools.errors import BookError
from book_tools.glued import glued_sections, glued_values, parse_value
from book_tools.links import follow_execution
from book_tools.notebooks import declared_figures, default_parameters, read_notebook, with_values
from book_tools.postprocess import keep_together, link_pictures
from book_tools.project import Project
from book_tools.staging import convert

HEADER = "---\njupytext:\n  text_representation:\n    format_name: myst\n---\n\n# A page\n\n"
PARAMETERS = '```{code-cell} python\n:tags: [parameters]\nprofile = "stored"\n```\n\n'
FIGURE = """\
```{code-cell} python
---
mystnb:
  figure:
    name: fig-line
    caption: A line.
  image:
    alt: A straight line that rises.
---
import matplotlib.pyplot as plt
figure, axes = plt.subplots(figsize=(2, 2), facecolor="white")
axes.plot([0, 1])
plt.show()
```
"""
CLAIM = {
    "id": "answer",
    "sentence": "The answer is 42.",
    "figure": "book/page",
    "expected": 42,
    "tolerance": 0.5,
    "tolerance_from": "a hunch",
    "glue": "answer",
}


def cell(code):
    return "```{code-cell} python\n" + textwrap.dedent(code).strip() + "\n```\n\n"


def glue_answer(value):
    return cell(f"from myst_nb import glue\nglue('answer', {value}, display=False)")


@pytest.fixture
def write(tmp_path):
    """A function that writes a small book: the notebook's cells, and the claims."""

    def write_book(*cells, claims=(), notebook=None):
        project = Project(tmp_path)
        files = {
            "_config.yml": 'title: Small\nauthor: A\nexecute: {execute_notebooks: "off"}\n',
            "_toc.yml": "format: jb-book\nroot: book/intro\nchapters:\n  - file: book/page\n",
            "claims.yml": yaml.safe_dump(list(claims)),
            "constraints.txt": "numpy==2.4.6\n",
            "lib/small.py": "NUMBER = 42\n",
            "book/intro.md": "# Small\n\n```{include} _generated/claims.md\n```\n",
            "book/page.md": notebook or HEADER + PARAMETERS + "".join(cells),
        }
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text, encoding="utf-8")
        return project

    return write_book


@pytest.fixture
def run():
    """A function that runs the notebook of a small book, if need be, and says whether it did."""

    def run_page(project, profile="stored"):
        page, parameters = "book/page", {"profile": profile}
        if execution.is_executed(project, page, parameters):
            return False
        execution.execute(project, page, parameters, folder=project.root / "book")
        assert execution.is_executed(project, page, parameters)
        return True

    return run_page


# Writing a notebook


def test_a_notebook_must_have_one_parameters_cell(write):
    for notebook, count in ((HEADER + cell("1"), 0), (HEADER + PARAMETERS + PARAMETERS, 2)):
        project = write(notebook=notebook)
        with pytest.raises(BookError, match=rf"page\.md: {count} cells .* must be exactly 1"):
            read_notebook(project.source("book/page"))


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("points = len('abc')", "'points' is .* no literal"),
        ("import numpy", "only set names to literals, not 'import numpy'"),
        ("a = b = 1", "only set names"),
    ],
)
def test_the_parameters_cell_holds_literals_only(write, code, message):
    project = write(
        notebook=HEADER + f"```{{code-cell}} python\n:tags: [parameters]\n{code}\n```\n"
    )
    with pytest.raises(BookError, match=message):
        read_notebook(project.source("book/page"))


def test_parameters_are_read_with_their_values(write):
    code = 'profile = "stored"\nseeds: int = 3\nscale = -0.5'
    project = write(
        notebook=HEADER + f"```{{code-cell}} python\n:tags: [parameters]\n{code}\n```\n"
    )
    notebook = read_notebook(project.source("book/page"))
    assert default_parameters(notebook, "page") == {"profile": "stored", "seeds": 3, "scale": -0.5}


def test_values_in_force_take_the_place_of_the_defaults_and_all_else_stays():
    source = 'profile = "stored"  # κ\nseeds: list = [\n    0,\n    1,\n]  # two\nworkers = None'
    assert with_values(source, {"profile": "sto'red", "seeds": (2,)}) == (
        'profile = "sto\'red"  # κ\nseeds: list = (2,)  # two\nworkers = None'
    )
    assert with_values(source, {}) == source


def test_tags_survive_a_header_that_filters_metadata(write):
    head = HEADER.replace("jupytext:\n", "jupytext:\n  cell_metadata_filter: -all\n")
    project = write(notebook=head + PARAMETERS)
    (path,) = convert(project, project.build / "out")
    cells = nbformat.read(path, as_version=4).cells
    assert [item.metadata.get("tags") for item in cells if item.cell_type == "code"] == [
        ["parameters"]
    ]


@pytest.mark.parametrize("line", ["    name: fig-line\n", "    caption: A line.\n"])
def test_a_figure_needs_name_and_caption(write, line):
    project = write(FIGURE.replace(line, ""))
    with pytest.raises(BookError, match=f"no mystnb figure.{line.split(':')[0].strip()}"):
        build(project, "stored")


def test_a_figure_needs_alternative_text(write):
    project = write(FIGURE.replace("A straight line that rises.", '""'))
    with pytest.raises(BookError, match=r"no mystnb image\.alt"):
        build(project, "stored")


def test_declared_figures_are_listed(write):
    project = write(FIGURE)
    (figure,) = declared_figures(read_notebook(project.source("book/page")), "page")
    assert (figure.name, figure.caption) == ("fig-line", "A line.")


# Executing it


def test_an_executed_notebook_is_kept(write, run):
    project = write(cell("print(profile)"))
    assert run(project) is True
    assert run(project) is False


@pytest.mark.parametrize(
    "name", ["lib/small.py", "lib/data/table.csv", "constraints.txt", "book/data/x.csv"]
)
def test_a_change_of_what_it_rests_on_executes_it_again(write, run, name):
    project = write(cell("print(profile)"))
    run(project)
    path = project.root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("changed\n", encoding="utf-8")
    assert run(project) is True


def test_a_change_of_its_source_executes_it_again(write, run):
    run(write(cell("print(1)")))
    assert run(write(cell("print(2)"))) is True


def test_files_that_python_leaves_in_the_library_do_not_count(write, run):
    project = write(cell("print(1)"))
    run(project)
    for name in ("lib/__pycache__/small.pyc", "lib/small.egg-info/PKG-INFO"):
        (project.root / name).parent.mkdir()
        (project.root / name).write_text("anything", encoding="utf-8")
    assert run(project) is False


def test_profiles_are_kept_apart(write, run):
    project = write(cell("import small; print(profile, small.NUMBER)"))
    assert [run(project, profile) for profile in ("stored", "paper", "stored")] == [
        True,
        True,
        False,
    ]
    printed = {}
    for profile in ("stored", "paper"):
        notebook = nbformat.read(project.executed(profile) / "book/page.ipynb", as_version=4)
        printed[profile] = notebook.cells[-1].outputs[0].text
        # One cell of parameters, that with the values in force.
        parameters = [item.source for item in notebook.cells if "profile =" in item.source]
        assert parameters == [f'profile = "{profile}"']
    assert printed == {"stored": "stored 42\n", "paper": "paper 42\n"}


def test_an_executed_notebook_names_no_path_of_the_machine(write, run):
    project = write(cell("print(1)"))
    run(project)
    text = (project.executed("stored") / "book/page.ipynb").read_text(encoding="utf-8")
    assert str(project.root) not in text


def test_how_the_user_has_set_up_ipython_changes_nothing(write, run, tmp_path, monkeypatch):
    startup = tmp_path / "ipython" / "profile_default" / "startup"
    startup.mkdir(parents=True)
    (startup / "mine.py").write_text("NUMBER = 1\n", encoding="utf-8")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    project = write(cell("print('NUMBER' in globals(), get_ipython().config)"))
    run(project)
    notebook = nbformat.read(project.executed("stored") / "book/page.ipynb", as_version=4)
    printed = notebook.cells[-1].outputs[0].text
    assert printed.startswith("False ")
    assert "'log_level': 'CRITICAL'" in printed
    assert os.environ["IPYTHONDIR"] == str(tmp_path / "ipython")


def test_a_raising_notebook_leaves_nothing_that_counts_as_done(write, run):
    project = write(cell("print('before')"), cell("raise ValueError('too cold')"))
    for _ in range(2):  # the second time must fail as well
        with pytest.raises(BookError, match=r"page\.md:19: this cell raised ValueError") as caught:
            run(project)
        assert "too cold" in str(caught.value)
        assert list(project.executed("stored").rglob("*.ipynb")) == []


def test_an_interrupted_notebook_leaves_the_older_one_and_runs_again(write, run, monkeypatch):
    project = write(cell("print(1)"))
    run(project)
    target = project.executed("stored") / "book/page.ipynb"
    before = target.read_bytes()

    def interrupt(_source, output, **_options):
        output.write_text("half a notebook")
        raise KeyboardInterrupt

    (project.library / "small.py").write_text("NUMBER = 43\n", encoding="utf-8")
    with monkeypatch.context() as patch:
        patch.setattr(execution.papermill, "execute_notebook", interrupt)
        with pytest.raises(KeyboardInterrupt):
            run(project)
    assert target.read_bytes() == before
    assert list(target.parent.iterdir()) == [target]
    assert run(project) is True


def test_an_unknown_parameter_is_refused(write):
    project = write(cell("print(1)"))
    with pytest.raises(BookError, match=r"parameter 'seeds' is unknown; .* has profile"):
        execution.execute(
            project, "book/page", {"profile": "stored", "seeds": 3}, folder=project.root
        )


# Claims


def test_glued_values_come_back_in_full_precision(write, run):
    values = {"a": 0.1 + 0.2, "b": True, "c": "text", "d": 7, "e": -1e-300}
    code = ["import numpy as np", "from myst_nb import glue"]
    code += [f"glue({name!r}, {value!r}, display=False)" for name, value in values.items()]
    code += ["glue('f', 0.5)", "glue('g', np.float64(0.25))", "glue('h', [1])"]
    project = write(cell("\n".join(code)))
    run(project)
    found = glued_values(project.executed("stored") / "book/page.ipynb")
    assert found == {**values, "f": 0.5, "g": 0.25}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.25", 0.25),
        ("np.float64(0.25)", 0.25),
        ("np.True_", None),
        ("-inf", float("-inf")),
        ("'a'", "a"),
        ("<Figure>", None),
        ("[1]", None),
    ],
)
def test_values_are_read_from_their_text(text, value):
    assert parse_value(text) == value


def test_a_name_glued_twice_is_an_error(write, run):
    project = write(glue_answer(1), glue_answer(2))
    run(project)
    with pytest.raises(BookError, match="'answer' is glued twice"):
        glued_values(project.executed("stored") / "book/page.ipynb")


@pytest.mark.parametrize(
    ("expected", "tolerance", "measured", "verdict"),
    [
        (42, 0.5, 42.5, Verdict.PASS),
        (42, 0.5, 42.51, Verdict.FAIL),
        (42, 0.5, 41.4, Verdict.FAIL),
        (42, 0.5, float("nan"), Verdict.FAIL),
        (42, 0.5, "42", Verdict.FAIL),
        (1, 0, True, Verdict.FAIL),
        (True, 0, True, Verdict.PASS),
        (True, 0, False, Verdict.FAIL),
        ("rises", 0, "rises", Verdict.PASS),
        ("rises", 0, "falls", Verdict.FAIL),
        (42, 0.5, None, Verdict.MISSING),
    ],
)
def test_a_claim_is_compared_within_its_tolerance(write, expected, tolerance, measured, verdict):
    project = write(claims=[{**CLAIM, "expected": expected, "tolerance": tolerance}])
    glued = {} if measured is None else {"book/page": {"answer": measured}}
    (outcome,) = compare(load_claims(project), glued)
    assert outcome.verdict is verdict
    assert outcome.failed is (verdict is not Verdict.PASS)


def test_a_claim_whose_cells_are_not_stored_yet_is_neither_passed_nor_failed(write):
    project = write(claims=[CLAIM])
    holes = {"book/page"}
    (outcome,) = compare(load_claims(project), {}, holes)
    assert (outcome.verdict, outcome.failed) == (Verdict.HOLE, False)
    # Where everything is stored, there is no such excuse.
    (outcome,) = compare(load_claims(project), {})
    assert (outcome.verdict, outcome.failed) == (Verdict.MISSING, True)
    (outcome,) = compare(load_claims(project), {"book/page": {"answer": 1}}, holes)
    assert (outcome.verdict, outcome.failed) == (Verdict.FAIL, True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"id": "Not Good"}, r"row 'Not Good': field 'id' is 'Not Good'; it must be lower-case"),
        ({"sentence": " "}, "row 'answer': field 'sentence' is ' '; it must be a text"),
        ({"expected": [1]}, "row 'answer': field 'expected' is"),
        ({"expected": float("inf")}, "field 'expected' is inf; it must be a finite number"),
        ({"tolerance": -1}, "field 'tolerance' is -1; it must be a finite number of at least 0"),
        ({"tolerance": "small"}, "field 'tolerance' is 'small'"),
        ({"tolerance": True}, "field 'tolerance' is True"),
        ({"expected": "rises"}, "field 'tolerance' is 0.5; it must be 0"),
        (
            {"figure": "book/other"},
            "field 'figure' is 'book/other'; it must be on one of book/page",
        ),
        ({"tollerance": 1}, "row 'answer': field 'tollerance' is 1; it must be one of the fields"),
    ],
)
def test_a_wrong_row_is_named_with_its_field(write, change, message):
    with pytest.raises(BookError, match=message):
        load_claims(write(claims=[{**CLAIM, **change}]))


@pytest.mark.parametrize("field", sorted(CLAIM))
def test_a_missing_field_is_named(write, field):
    row = {name: value for name, value in CLAIM.items() if name != field}
    with pytest.raises(BookError, match=f"field '{field}' is missing"):
        load_claims(write(claims=[row]))


def test_the_books_claims_write_their_formulas_as_mathematics():
    for claim in load_claims(Project(Path(__file__).parents[2])):
        prose = re.sub(r"\$[^$]*\$", "", claim.sentence)
        assert not re.search(r"m_S|κ|∞|\bP\b", prose), claim.sentence
        # A number of a figure says whose it is.
        assert prose.count("Figure") == prose.count("the paper's Figure"), claim.sentence


def test_two_claims_of_one_id_are_refused(write):
    with pytest.raises(BookError, match="field 'id' is 'answer'; it must be unique"):
        load_claims(write(claims=[CLAIM, CLAIM]))


def test_a_list_is_asked_for(write):
    project = write()
    project.claims.write_text("answer: 42\n", encoding="utf-8")
    with pytest.raises(BookError, match="holds a dict; it must be a list"):
        load_claims(project)


def test_the_table_keeps_its_columns_whatever_the_sentence(write):
    project = write(claims=[{**CLAIM, "sentence": "It is\n$|x|$."}])
    table = render_page(compare(load_claims(project), {}), "stored", {})
    rows = [line for line in table.splitlines() if line.startswith("| It is ")]
    assert [row.replace("\\|", "").count("|") for row in rows] == [6, 3]
    assert "**FAIL (not glued)**" in rows[0]
    assert "Profile `stored`, 1 claim: 0 hold, 1 fail." in table


def test_every_column_of_the_table_has_a_header_and_the_reasons_are_folded(write):
    project = write(claims=[{**CLAIM, "tolerance_from": "the reason"}])
    outcomes = compare(load_claims(project), {"book/page": {"answer": 42}})
    shown, folded = render_page(outcomes, "stored", {}).split(":::{dropdown}")
    heads = [line for line in shown.splitlines() if line.startswith("| claim")]
    assert [cell.strip() for cell in heads[0].strip("|").split("|")] == [
        *("claim", "expected", "measured", "holds", "shown in")
    ]
    assert "| 42&nbsp;±&nbsp;0.5 | 42 | pass |" in shown
    assert "the reason" not in shown
    assert "the reason" in folded


def test_what_is_not_measured_does_not_read_as_failed(write):
    rows = [
        CLAIM,
        {**CLAIM, "id": "hole", "glue": "hole"},
    ]
    glued = {"book/page": {"answer": 42}}
    outcomes = compare(load_claims(write(claims=rows)), glued, {"book/page"})
    assert summary(outcomes, "stored") == (
        "Profile `stored`, 2 claims: 1 hold, 1 not measured (cells not stored yet), 0 fail."
    )
    assert summary([], "stored") == "There are no claims to check."


def test_the_front_page_has_a_folded_table_for_each_page_and_unfolds_what_fails(write):
    project = write(claims=[CLAIM])
    for value, unfolded in ((42, False), (0, True)):
        outcomes = compare(load_claims(project), {"book/page": {"answer": value}})
        titles = {"book/other": "No claims", "book/page": "A page"}
        front = render_front(outcomes, "stored", titles, {"book/page": {"answer": "3"}})
        assert front.count(":::{dropdown}") == 1
        assert f":::{{dropdown}} A page – {counts(outcomes)}\n" in front
        assert (":open:" in front) is unfolded
        # A short name that does not fill the column.
        assert "| {doc}`Page 3 </book/page>` |" in front


def test_the_section_of_a_glued_value_is_known_by_its_number(write, run):
    glued = [glue_answer(1), glue_answer(2).replace("answer", "b"), glue_answer(3)]
    glued[2] = glued[2].replace("answer", "c")
    heads = ["## 7. Seven\n\n### 8. No section\n\n", "## Without number\n\n"]
    project = write(heads[0], glued[0], glued[1], heads[1], glued[2])
    run(project)
    sections = glued_sections(project.executed("stored") / "book/page.ipynb")
    assert sections == {"answer": "7", "b": "7"}


# The whole way


def test_a_book_is_built_checked_and_replaced(write, capsys):
    project = write(FIGURE, glue_answer(41.8), claims=[{**CLAIM, "figure": "book/page#fig-line"}])
    assert main(["--root", str(project.root), "build"]) == 0
    assert "1 claim: 1 hold, 0 fail." in capsys.readouterr().out
    page = (project.html / "book/page.html").read_text(encoding="utf-8")
    assert 'alt="A straight line that rises."' in page
    assert re.search(r'<a class="full-size" href="(../_images/[^"]+)"><img [^>]*src="\1"', page)
    assert page.index("Claims checked on this page") < page.index("a hunch")
    assert "41.8" in (project.html / "book/intro.html").read_text(encoding="utf-8")
    assert main(["--root", str(project.root), "check"]) == 0
    assert not list(project.build.glob(".*")), "scratch folders are left behind"

    # A claim that fails is shown, and fails the check; the notebook need not run for it.
    project = write(FIGURE, glue_answer(41.8), claims=[{**CLAIM, "tolerance": 0.1}])
    assert is_current(project, "stored") is False
    assert main(["--root", str(project.root), "check"]) == 1
    capsys.readouterr()
    assert main(["--root", str(project.root), "build"]) == 0
    assert "unchanged, kept" in capsys.readouterr().out
    assert "FAIL" in (project.html / "book/intro.html").read_text(encoding="utf-8")
    assert main(["--root", str(project.root), "check"]) == 1
    assert "answer: FAIL: expected 42 within 0.1, measured 41.8" in capsys.readouterr().out

    # A failing build leaves the book as it was, and fails again when it is repeated.
    before = (project.html / "book/intro.html").read_bytes()
    (project.root / "book/intro.md").write_text("# Small\n\n{ref}`nowhere`\n", encoding="utf-8")
    for _ in range(2):
        assert main(["--root", str(project.root), "build"]) == 1
        assert "nowhere" in capsys.readouterr().err
    assert (project.html / "book/intro.html").read_bytes() == before

    # What the check is for: a page, then the figure of a page, is not there.
    html, stage = project.html, project.stage("stored")
    (html / "book/page.html").write_text(page.replace('id="fig-line"', ""), encoding="utf-8")
    with pytest.raises(BookError, match="page: figure 'fig-line' is not on the page"):
        check_book(project, html, stage)
    (html / "book/page.html").unlink()
    with pytest.raises(BookError, match="page: the page was not built"):
        check_book(project, html, stage)


def test_a_claim_that_fails_is_named_by_the_build_and_shown_in_the_book(write, capsys):
    project = write(FIGURE, glue_answer(43), claims=[{**CLAIM, "figure": "book/page#fig-line"}])
    assert main(["--root", str(project.root), "build"]) == 0
    printed = capsys.readouterr().out
    assert "answer: FAIL: expected 42" in printed
    assert "1 claim: 0 hold, 1 fail." in printed


def test_what_a_notebook_says_on_standard_error_fails_the_build(write):
    project = write(cell("import sys; print('careful', file=sys.stderr)"))
    project.config.write_text(
        "title: Small\nexecute: {execute_notebooks: 'off', stderr_output: remove-warn}\n"
    )
    with pytest.raises(BookError, match="stderr was found in the cell outputs"):
        build(project, "stored")
    assert not project.html.exists()


def test_a_raising_notebook_ends_the_command_with_its_error(write, capsys):
    project = write(cell("raise ValueError('too cold')"))
    assert main(["--root", str(project.root), "build"]) == 1
    *details, cause = capsys.readouterr().err.splitlines()
    assert cause == "book_tools: error: book/page.md:15: this cell raised ValueError"
    assert details[-1].endswith("ValueError: too cold")
    assert not project.html.exists()


@pytest.mark.parametrize(
    ("page", "text", "named"),
    [
        ("book/intro.md", "# Small\n\n{ref}`nowhere`\n", "nowhere"),
        (
            "lib/small.py",
            'def broken():\n    """Half *emphasised."""\n',
            "docstring of small.broken",
        ),
    ],
)
def test_what_is_written_is_checked_before_any_notebook_runs(write, capsys, page, text, named):
    project = write(cell("from pathlib import Path; Path('ran').touch()"))
    claims = "# Small\n\n```{include} _generated/claims.md\n```\n\n"
    api = f"{claims}```{{eval-rst}}\n.. automodule:: small\n   :members:\n```\n"
    (project.root / "book/intro.md").write_text(api, encoding="utf-8")
    project.config.write_text(
        'title: Small\nexecute: {execute_notebooks: "off"}\n'
        "sphinx: {extra_extensions: [sphinx.ext.autodoc]}\n"
    )
    (project.root / page).write_text(text, encoding="utf-8")
    assert main(["--root", str(project.root), "build"]) == 1
    out, err = capsys.readouterr()
    assert named in err
    assert "book/page: running" not in out
    assert not (project.stage("stored") / "book" / "ran").exists()
    assert not list(project.build.glob(".*")), "scratch folders are left behind"


def test_figures_that_a_notebook_has_yet_to_draw_can_be_referred_to(write, capsys):
    project = write(FIGURE.replace("A line", "A line, see $x^2$"))
    reference = "# Small\n\n{numref}`fig-line`\n\n```{include} _generated/claims.md\n```\n"
    (project.root / "book/intro.md").write_text(reference, encoding="utf-8")
    project.config.write_text(
        'title: Small\nexecute: {execute_notebooks: "off"}\nsphinx: {config: {numfig: true}}\n'
    )
    check_prose(project, "stored")
    assert not project.executed("stored").exists()
    (project.root / "book/intro.md").write_text(reference.replace("line", "lime"), encoding="utf-8")
    with pytest.raises(BookError, match="fig-lime"):
        check_prose(project, "stored")


def test_interrupting_the_command_says_so(write, monkeypatch, capsys):
    def interrupt(*_arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(build_module, "load_claims", interrupt)
    assert main(["--root", str(write().root), "build"]) == 130
    assert "interrupted" in capsys.readouterr().err


def test_an_unknown_profile_is_refused(write, capsys):
    with pytest.raises(BookError, match="profile is 'toy'; it must be one of stored, paper"):
        build(write(), "toy")
    with pytest.raises(SystemExit, match="2"):
        main(["build", "--profile", "toy"])
    assert "invalid choice: 'toy'" in capsys.readouterr().err


def test_a_table_of_contents_names_pages_that_exist(write):
    project = write()
    project.source("book/page").unlink()
    with pytest.raises(BookError, match=r"'book/page' has no source book/page\.md"):
        project.pages()


def test_a_missing_table_of_contents_is_named(tmp_path):
    with pytest.raises(BookError, match=r"_toc\.yml is missing"):
        Project(tmp_path).pages()


def test_claims_of_a_book_without_staged_notebooks_are_a_readable_error(write):
    with pytest.raises(BookError, match="book/page has not been executed"):
        claim_outcomes(write(claims=[CLAIM]), "stored")


# Linking pages


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        ("[a](part/nb.md)", "[a](part/nb.ipynb)"),
        ("[a](part/nb.md#here)", "[a](part/nb.ipynb#here)"),
        ("[a](/book/part/nb.md)", "[a](/book/part/nb.ipynb)"),
        ("[a](./part/../part/nb.md)", "[a](./part/../part/nb.ipynb)"),
        ("[a](part/text.md) [b](nb.md)", "[a](part/text.md) [b](nb.md)"),
        ("see part/nb.md", "see part/nb.md"),
        ("[a](https://example.org/book/part/nb.md)", "[a](https://example.org/book/part/nb.md)"),
    ],
)
def test_links_follow_a_notebook_to_its_executed_form(link, expected):
    assert follow_execution(link, "book/intro", ["book/part/nb"]) == expected


def test_a_page_can_link_to_a_notebook_by_its_source(write):
    project = write(cell("print(1)"))
    with (project.root / "book/intro.md").open("a", encoding="utf-8") as intro:
        intro.write("\n[the notebook](page.md)\n")
    build(project, "stored")
    page = (project.html / "book/intro.html").read_text(encoding="utf-8")
    assert 'href="page.html"' in page


# What pages load


def test_a_diagram_of_plotly_loads_the_one_script_of_the_book(write):
    code = """
        import plotly.graph_objects as go
        from IPython.display import HTML
        figure = go.Figure(go.Scatter(x=[1, 2], y=[1, 2]))
        HTML('<div role="img" aria-label="A line">' + figure.to_html(full_html=False) + "</div>")
    """
    project = write(cell(code))
    build(project, "stored")
    # What is executed has it all; what is read and offered does not.
    assert (project.executed("stored") / "book/page.ipynb").stat().st_size > 3e6
    assert (project.html / "_static/plotly.min.js").stat().st_size > 3e6
    for name in ("book/page.html", "_sources/book/page.ipynb"):
        text = (project.html / name).read_text(encoding="utf-8")
        assert len(text) < 1e5, name
        assert "../_static/plotly.min.js" in text
        assert "in a downloaded notebook, that its cell is run" in text
        assert "Plotly.newPlot" in text
    (project.html / "_static/plotly.min.js").unlink()
    with pytest.raises(BookError, match=r"page: script .*plotly\.min\.js' does not exist"):
        check_book(project, project.html, project.stage("stored"))


def test_a_book_that_does_not_draw_with_plotly_has_no_script_of_it(write):
    project = write(cell("1"))
    build(project, "stored")
    assert not (project.html / "_static/plotly.min.js").exists()


def test_what_no_page_loads_is_removed(tmp_path):
    kept = ["tex-chtml.js", "output/chtml/fonts/woff-v2/x.woff", "input/tex/extensions/ams.js"]
    removed = ["tex-svg.js", "core.js"]
    combinations = [f"mathjax/{name}" for name in kept + removed]
    for name in [*combinations, "styles/a.css", "styles/a.css.map"]:
        (tmp_path / "_static" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "_static" / name).touch()
    page = '<script defer="defer" src="../_static/mathjax/tex-chtml.js?v=1"></script>'
    (tmp_path / "page.html").write_text(page, encoding="utf-8")
    prune(tmp_path)
    static = tmp_path / "_static"
    found = {path.relative_to(static).as_posix() for path in static.rglob("*.*")}
    assert found == {"styles/a.css", *(f"mathjax/{name}" for name in kept)}


def test_a_book_that_is_too_large_is_told_with_its_largest_files(tmp_path):
    for name, size in (("small.js", 10), ("large.js", 3 * 2**20)):
        (tmp_path / name).write_bytes(bytes(size))
    assert list(size_problems(tmp_path)) == []
    (problem,) = size_problems(tmp_path, limit=2**20)
    assert problem == (
        "the book has 3.0 MiB; it may have 1.0 MiB. "
        "Its largest files: large.js (3.0 MiB), small.js (0.0 MiB)"
    )


# The last touch


M = '<span class="math notranslate nohighlight">\\(x\\)</span>'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"f = {M}, which", f'f = <span class="together">{M},</span> which'),
        (f"a ({M}).", f'a <span class="together">({M}).</span>'),
        (f"the {M}-th", f'the <span class="together">{M}-th</span>'),
        (f"<p>{M}/{M};</p>", f'<p><span class="together">{M}/{M};</span></p>'),
        (f"<em>{M}</em>, {M} and {M} b", f"<em>{M}</em>, {M} and {M} b"),
        ('<div class="math notranslate nohighlight">\\[x\\]</div>.', None),
    ],
)
def test_a_formula_keeps_its_punctuation(text, expected):
    assert keep_together(text) == (expected or text)


def test_a_picture_opens_in_full_size_unless_it_is_a_link_already():
    image = '<img alt="A" src="../_images/a.png" />'
    linked = f'<a class="full-size" href="../_images/a.png">{image}</a>'
    assert link_pictures(f"<p>{image}</p>") == f"<p>{linked}</p>"
    for text in (linked, f'<a href="x">\n{image}</a>', '<img src="_static/logo.png">'):
        assert link_pictures(text) == text


# Looking at pages


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ('<img src="gone.png">', "'gone.png' does not exist"),
        ('<figure><img src="here.png"></figure>', "no alternative text"),
        ('<figure><img src="here.png" alt=" "></figure>', "no alternative text"),
        ('<figure><img src="here.png" alt="a/here.png"></figure>', "no alternative text"),
        ('<img src="//example.org/x.png">', "does not exist"),
        ('<div role="img">x</div>', "'x' is an image without alternative text"),
        ('<script src="https://example.org/x.js"></script>', "comes from another host"),
        ('<script src="gone.js?v=1"></script>', "script 'gone.js?v=1' does not exist"),
        ('<link rel="stylesheet" href="https://example.org/x.css">', "comes from another host"),
        ('<div class="system-message">bad</div>', "shows an error: 'bad'"),
        ('<span class="xref std std-ref">lost</span>', "reference 'lost' leads nowhere"),
    ],
)
def test_faults_of_a_page_are_found(tmp_path, body, problem):
    (tmp_path / "here.png").write_bytes(b"x")
    (found,) = page_problems(BeautifulSoup(body, "html.parser"), tmp_path / "page.html")
    assert problem in found


def test_a_sound_page_has_no_faults(tmp_path):
    (tmp_path / "a curve.png").write_bytes(b"x")
    body = (
        '<figure><img src="a%20curve.png?v=1" alt="A curve"></figure>'
        '<a href="x"><span class="xref std std-ref">found</span></a>'
        '<code class="xref py py-class">torch.Tensor</code>'
        '<a href="https://example.org">elsewhere</a>'
    )
    assert list(page_problems(BeautifulSoup(body, "html.parser"), tmp_path / "page.html")) == []
