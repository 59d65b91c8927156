"""The command diagnose: what it prints and draws, and how bad input ends."""

import contextlib
import io
import json

import numpy as np
import pytest
from PIL import Image

from feature_learning.analysis.chain_history import compare, read_draws
from feature_learning.cli.main import main
from feature_learning.experiments.flat import configure
from feature_learning.experiments.point import run_point
from feature_learning.inference import checkpoints


def call(*arguments):
    """Exit code, standard output and standard error."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main(["diagnose", *map(str, arguments)])
        except SystemExit as ended:
            code = ended.code
    return code, out.getvalue(), err.getvalue()


def assert_refused(result, *words):
    code, out, err = result
    assert (code, out) == (2, ""), (code, out, err)
    assert err.startswith("feature-learning")
    assert err.count("\n") == 1, err
    assert "Traceback" not in err
    for word in words:
        assert word in err, (word, err)


@pytest.fixture
def keep(tiny, tmp_path):
    """Runs a small point of four chains and keeps its checkpoint under a name."""

    def one(name, **options):
        path = tmp_path / f"{name}.npz"
        run_point(configure(**tiny | {"chains": 4, "friction": 0.5} | options), checkpoint=path)
        return path

    return one


def shifted(path, by):
    """The same checkpoint with the first chain's series moved away."""
    arrays, fingerprint = checkpoints.read(path)
    for name, values in arrays.items():
        if name.startswith("series."):
            values[0] += by
    checkpoints.save(path, arrays, fingerprint)
    return path


def test_the_report_for_people_has_every_number_and_the_verdict(keep):
    path = keep("run", langevin_time=400.0, measurements=200)
    code, out, err = call(path)
    assert (code, err) == (0, "")
    lines, found = out.splitlines(), read_draws(path).report()
    assert lines[0] == (
        "run: network, parity d=6 k=2, P=20, kappa=0.1, underdamped from prior, seed 0"
    )
    assert lines[1].startswith(
        "4 chains of 100 draws every 2 after burn-in, Langevin time 400, at "
    )
    for name, each in found.items():
        row = next(line for line in lines if line.startswith(name)).split()
        assert float(row[1]) == pytest.approx(each.mean, rel=1e-3)
        assert float(row[3]) == pytest.approx(each.r_hat, abs=1e-3)
        if each.agree:
            assert float(row[4]) == pytest.approx(each.ess_bulk, rel=0.01)
            assert float(row[5]) == pytest.approx(each.ess_tail, rel=0.01)
    reasons = read_draws(path).verdict().convergence.reasons
    assert (f"not settled: {'; '.join(reasons)}" if reasons else "agreed") in lines
    chains = lines[lines.index(next(line for line in lines if line.startswith("chain "))) + 1 :]
    assert [line.split()[:2] for line in chains] == [[str(n), "prior"] for n in (1, 2, 3, 4)]
    past = read_draws(path)
    neurons = past.series["specialised"][:, past.counted].mean(axis=1)
    assert [float(line.split()[-1]) for line in chains] == pytest.approx(neurons, rel=1e-3)


def test_a_chain_that_is_stuck_is_said_and_what_it_spoils_is_in_brackets(keep):
    out = call(shifted(keep("run"), 5.0))[1]
    row = next(line for line in out.splitlines() if line.startswith("m_S"))
    assert row.endswith("chains disagree")
    assert row.count("(") == row.count(")") == 4
    assert "not settled" in out


def test_json_is_one_object_with_the_numbers_of_the_library(keep):
    path = keep("run", start="spread")
    code, out, err = call(path, "--json")
    assert (code, err, out.count("\n")) == (0, "", 1)
    found = json.loads(out, parse_constant=pytest.fail)
    (run,), draws = found["runs"], read_draws(path)
    assert run["name"] == "run"
    assert run["finished"] is True
    assert run["converged"] is draws.verdict().convergence.converged
    assert run["starts"] == ["planted", "prior", "planted", "prior"]
    assert (run["chains"], run["draws"]) == (4, 10)
    assert configure(**run["config"]) == draws.config
    for name, each in draws.report().items():
        assert run["observables"][name]["r_hat"] == each.r_hat
        assert run["observables"][name]["autocorrelation_time"] == each.autocorrelation_time
        means = run["means_by_chain"][name]["mean"]
        assert np.mean(means) == pytest.approx(each.mean)
    assert found["starts"]["m_S"]["across"] == compare([draws])["m_S"].across
    assert set(found["starts"]["m_S"]["within"]) == {"planted", "prior"}


def test_without_velocities_there_is_no_temperature(keep):
    path = keep("run", sampler="sgld", friction=None)
    assert json.loads(call(path, "--json")[1])["runs"][0]["kinetic_temperature"] is None
    assert " T" not in call(path)[1].splitlines()[1]


def test_several_runs_are_compared(keep):
    one, two = keep("one", langevin_time=80.0, measurements=40), keep("two", start="planted")
    code, out, _ = call(one, two)
    assert code == 0
    for words in ("one: network", "two: network", "one: prior", "two: planted", "all together"):
        assert words in out
    shifted(two, 5.0)
    assert "the starts DISAGREE on m_S, test_mse" in call(one, two)[1]


def test_an_unfinished_run_says_so(keep):
    path = keep("run")
    arrays, fingerprint = checkpoints.read(path)
    checkpoints.save(path, arrays | {"planned": 2 * arrays["planned"]}, fingerprint)
    code, out, _ = call(path)
    assert code == 0
    assert "UNFINISHED" in out
    assert "not settled" in out


def test_plots_are_drawn(keep, tmp_path):
    one, two = keep("one"), keep("two", start="spread")
    folder = tmp_path / "new" / "figures"
    code, _, err = call(one, two, "--plots", folder)
    assert (code, err) == (0, "")
    assert sorted(path.name for path in folder.iterdir()) == ["rank.png", "trace.png"]
    for path in folder.iterdir():
        with Image.open(path) as image:
            assert image.size[0] >= 800
            assert np.asarray(image.convert("L")).std() > 10


def test_bad_files_end_with_one_line_that_names_them(keep, tmp_path):
    page, none, good = tmp_path / "page.md", tmp_path / "none.npz", keep("run")
    page.write_text("# a page")
    assert_refused(call(none), "there is no checkpoint", "none.npz")
    assert_refused(call(page), "page.md is damaged or not a checkpoint (no archive of arrays")
    assert_refused(call(tmp_path), str(tmp_path))
    assert_refused(call(good, page), "page.md is damaged or not a checkpoint")
    good.write_bytes(good.read_bytes()[:-70])
    assert_refused(call(good, "--json"), "run.npz is damaged")


def test_runs_that_cannot_be_judged_or_compared_end_with_one_line(keep, tmp_path):
    good = keep("run")
    assert_refused(call(keep("single", chains=1)), "holds 1 chain", "at least 2")
    assert_refused(
        call(keep("short", measurements=6)), "holds 3 measurements after burn-in", "at least 4"
    )
    assert_refused(
        call(good, keep("hot", kappa=0.2)), "same distribution", "kappa is 0.2 in hot, 0.1 in run"
    )
    assert_refused(call(good, tmp_path / "." / "run.npz"), "run.npz is given 2 times")
    assert_refused(call(), "FILE")


def test_files_of_one_name_are_told_apart_by_their_folders(keep, tmp_path):
    (tmp_path / "other").mkdir()
    one, two = keep("run"), keep("other/run", start="planted")
    assert f"{two}: planted" in call(one, two)[1]


def test_a_folder_that_cannot_be_written_ends_with_one_line(keep):
    assert_refused(call(keep("run"), "--plots", "/dev/null/figures"), "/dev/null")
