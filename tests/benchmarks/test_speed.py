"""The table of measurements: its check, the stored one, the README's part."""

import math
from pathlib import Path

import pandas as pd
import pytest

from benchmarks import speed, speed_report
from book_tools.errors import BookError
from feature_learning.analysis.texts import ABSENT

ROOT = Path(__file__).parents[2]

RUN = {
    "threads": 2,
    "device": "cpu",
    "cpu": "A processor",
    "cores": 2,
    "load": 0.1,
    "date_utc": "2026-01-02T03:04:05+00:00",
    "revision": "0123456789abcdef",
}
CASE = {"n_train": 5000, "chains": 1, "kappa": 0.005}


def row(quantity, package, value, **case):
    numbers = {"value": value, "low": 0.9 * value, "high": 1.1 * value}
    known = {"quantity": quantity, "package": package, "version": "1.2"}
    return known | numbers | {"unit": speed.UNITS[quantity]} | RUN | case


def rows():
    sgld, inertial = {"dynamics": "sgld", **CASE}, {"dynamics": "underdamped", **CASE}
    found = [row("matrix_rate", "torch", 100.0)]
    for package, time in (("feature_learning", 1000.0), ("blackjax", 2500.0)):
        found.append(row("step_time", package, time, **sgld))
        found.append(row("matrix_share", package, 1200 / time, **sgld))
    found.append(row("cell_rate", "feature_learning", 6000.0, setting="10 steps", **sgld))
    found.append(row("step_time", "feature_learning", 1100.0, **inertial))
    for dynamics, size in ((sgld, 1e-5), (inertial, 2e-3)):
        case = {**dynamics, "observable": "m_S"}
        case["bound"] = "at most" if size < 1e-4 else None
        found.append(row("ess_per_step", "feature_learning", size, **case))
        times = [each for each in found if each["quantity"] == "step_time"]
        found += [
            row("ess_rate", each["package"], size / each["value"] * 1e6, **case)
            for each in times
            if each["dynamics"] == dynamics["dynamics"]
        ]
    found.append(row("settling_time", "feature_learning", 12.0, **inertial))
    found.append(row("settling_time", "feature_learning", 60.0, bound="at least", **sgld))
    return found


def table(found):
    return speed.typed(pd.DataFrame(found, columns=list(speed.COLUMNS)))


@pytest.fixture
def frame():
    return table(rows())


def test_a_sound_table_has_no_faults_and_comes_back(frame, tmp_path):
    assert list(speed.problems(frame)) == []
    path = speed.stored(tmp_path)
    speed.write(frame, path)
    pd.testing.assert_frame_equal(speed.read(path), frame)


def changed(index, **values):
    found = rows()
    found[index] = found[index] | values
    return table(found)


@pytest.mark.parametrize(
    ("spoilt", "problem"),
    [
        (lambda: changed(1, unit="s"), "unit is 's', not 'us per step and chain'"),
        (lambda: changed(1, package="other"), "package is none of"),
        (lambda: changed(1, dynamics="other"), "dynamics is none of"),
        (lambda: changed(1, bound="about"), "bound is none of"),
        (lambda: changed(1, value=-1.0), "not 0 < low <= value <= high"),
        (lambda: changed(1, high=1.0), "not 0 < low <= value <= high"),
        (lambda: changed(1, high=math.inf), "not 0 < low <= value <= high"),
        (lambda: changed(1, low=None), "a number is missing"),
        (lambda: changed(1, cpu="Another"), "column cpu has 2 values"),
        (lambda: changed(1, date_utc="2027-01-01"), "column date_utc has 2 values"),
        (lambda: table([*rows(), rows()[1]]), "1 rows have the quantity and case of another"),
        (lambda: changed(1, value=1050.0), "sgld m_S: inconsistent rate"),
        (lambda: changed(5, setting="11 steps"), "inconsistent cells per minute"),
        (lambda: changed(5, setting="many steps"), "inconsistent cells per minute"),
        (lambda: changed(5, chains=2), "inconsistent cells per minute"),
        (
            lambda: table([r for r in rows() if r["quantity"] != "ess_per_step"]),
            "the numbers for a rate are missing",
        ),
    ],
)
def test_faults_are_named_and_not_written(spoilt, problem, tmp_path):
    frame = spoilt()
    assert any(problem in text for text in speed.problems(frame)), list(speed.problems(frame))
    with pytest.raises(BookError, match="the measurements have faults"):
        speed.write(frame, tmp_path / "speed.csv")
    assert not (tmp_path / "speed.csv").exists()


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("quantity,", "amount,", "does not have the columns"),
        (",0.005,2,", ",0.005,two,", "column threads must be of type Int64"),
        ("1000.0", "fast", "column value must be of type Float64"),
    ],
)
def test_a_file_of_another_kind_is_refused_by_its_column(frame, tmp_path, old, new, problem):
    path = tmp_path / "speed.csv"
    speed.write(frame, path)
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(BookError, match=problem):
        speed.read(path)
    with pytest.raises(BookError, match=r"none\.csv cannot be read"):
        speed.read(tmp_path / "none.csv")


def test_several_chains_in_the_slower_way_are_found(frame):
    assert list(speed.wrong_ways(frame)) == []
    case = {"dynamics": "sgld", **CASE, "chains": 4}
    for value, found in ((3300.0, 1), (3200.0, 0)):
        slow = table([*rows(), row("step_time", "blackjax", value, **case)])
        texts = list(speed.wrong_ways(slow))
        assert len(texts) == found
        if texts:
            assert texts[0].endswith("P=5000: 4 chains take 3300 us each, but one takes 2500")


def test_the_stored_measurements_are_of_one_run_and_fit_each_other():
    assert list(speed.problems(speed.read(speed.stored(ROOT)))) == []


def test_a_changed_time_and_a_file_that_is_no_table_are_told(tmp_path, frame):
    path = tmp_path / "speed.csv"
    speed.write(frame, path)
    path.write_text(path.read_text().replace("1000.0", "7.0"))
    assert list(speed.problems(speed.read(path)))
    path.write_text("no table\n")
    with pytest.raises(BookError, match=r"speed\.csv does not have the columns"):
        speed.read(path)


def test_the_gain_is_over_the_fastest_peer_and_a_bound_below_if_theirs_is_one_above(frame):
    ratio, bound, peer = speed_report.gain(frame, "m_S")
    assert ratio == pytest.approx((2e-3 / 1100) / (1e-5 / 2500))
    assert (bound, peer) == ("at least", "blackjax, SGLD")
    peers = frame.assign(bound=None).astype(frame.dtypes)
    assert speed_report.gain(peers, "m_S") == (pytest.approx(ratio), "", peer)
    assert math.isnan(speed_report.gain(frame.assign(bound="at most"), "m_S")[0])
    alone = frame[frame["package"] == "feature_learning"]
    assert math.isnan(speed_report.gain(alone, "m_S")[0])


def test_the_gain_is_also_said_against_the_fastest_peer_of_any_dynamics(frame):
    rate = 0.5 * 2e-3 / 1100 * 1e6
    case = {"dynamics": "underdamped", **CASE, "observable": "m_S"}
    more = table([*rows(), row("ess_rate", "posteriors", rate, **case)])
    found = speed_report.gain(more, "m_S", tuple(speed.DYNAMICS))
    assert found == (pytest.approx(2.0), "", "posteriors, underdamped")
    text = speed_report.findings(more)
    assert "at least 455 times those of the fastest peer's SGLD, and 2.00 times" in text
    assert "the fastest peer of any dynamics (posteriors, underdamped)." in text


def test_the_page_says_what_is_bounded(frame):
    text = speed_report.findings(frame)
    assert "our underdamped dynamics has at least 455 times" in text
    assert "SGLD, not within 60 s." in text
    cells = "SGLD with 10 steps; 1 at a time, without measurements): 6000 at P = 5000."
    assert cells in text
    assert "κ = 0.005: this library, underdamped, 12 s." in text
    assert "load 0.1 at the start" in text
    assert "|" not in text


def several(package, value, **case):
    return row("step_time", package, value, **{"dynamics": "sgld", **CASE, "chains": 4} | case)


def test_the_readme_part_has_a_row_a_number_of_samples_and_the_fastest_peer():
    more = [several(speed.OURS, 900.0), several("posteriors", 3000.0), several("blackjax", 2700.0)]
    more += [several(speed.OURS, 90.0, n_train=100)]
    frame = table([*rows(), *more])
    text = speed_report.render(frame)
    head, _, first, second, *_ = text.splitlines()
    # The underdamped steps of the rows are those of one chain.
    assert head == "| P (4 chains) | SGLD, ours | fastest peer | underdamped, ours | fastest peer |"
    assert first == f"| 100 | 90 | {ABSENT} | {ABSENT} | {ABSENT} |"
    assert second == f"| 5000 | 900 | blackjax 2700 | {ABSENT} | {ABSENT} |"
    assert " ".join(text.split()).endswith(speed_report.provenance(frame))
    assert max(map(len, text.splitlines())) <= 120
    assert speed_report.render(None) == speed_report.findings(None) == speed.UNKNOWN


def test_the_closest_case_is_sought_in_all_and_of_the_same_dynamics(frame):
    assert "SGLD at P = 5000 with 1 chain, a step of blackjax takes 2.50 times" in told(frame)
    # A step of HMC that is slower than ours is closer than one of SGLD that is faster than it.
    more = [several(speed.OURS, 2000.0, dynamics="hmc"), several(speed.OURS, 1000.0)]
    more += [several("blackjax", 1980.0, dynamics="hmc"), several("blackjax", 1900.0)]
    text = told(table([*rows(), *more]))
    assert "HMC at P = 5000 with 4 chains, a step of blackjax takes 0.99 times" in text
    alone = frame[frame["package"] != "blackjax"]
    assert "closest" not in speed_report.render(alone)


def told(frame):
    return " ".join(speed_report.render(frame).split())


def test_rounds_that_differ_much_are_shown(frame):
    case = frame["quantity"].eq("step_time") & frame["package"].eq("blackjax")
    unsteady = frame.assign(high=frame["high"].mask(case, 4000.0))
    assert "| blackjax 2500 (2250 to 4000) |" in speed_report.render(unsteady)


def test_the_readme_part_is_replaced_and_nothing_else(frame):
    start, end = speed_report.START, speed_report.END
    new = speed_report.update(f"# A\n{start}\nold\n{end}\nrest\n", frame)
    assert new == f"# A\n{start}\n{speed_report.render(frame)}\n{end}\nrest\n"
    assert speed_report.update(new, frame) == new
    with pytest.raises(BookError, match="once each"):
        speed_report.update("# A\n", frame)


def test_the_readme_says_what_is_stored():
    readme, frame = (ROOT / "README.md").read_text("utf-8"), speed.read(speed.stored(ROOT))
    assert speed_report.update(readme, frame) == readme, (
        f"README.md needs\n{speed_report.render(frame)}\n`make bench BENCH=full` writes it"
    )


def test_everybody_was_timed_in_the_faster_way():
    assert list(speed.wrong_ways(speed.read(speed.stored(ROOT)))) == []
