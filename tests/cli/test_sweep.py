"""The commands sweep and table: what they print, their exit codes, and Ctrl-C."""

import contextlib
import io
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from feature_learning.cli import options
from feature_learning.cli import sweep as cli_sweep
from feature_learning.cli.main import main
from feature_learning.experiments import hardware
from feature_learning.experiments.flat import configure
from feature_learning.experiments.keys import cell_key
from feature_learning.experiments.point import run_point
from feature_learning.files import atomic, locks
from feature_learning.sweeps.pool import LocalPool
from feature_learning.sweeps.provenance import provenance
from feature_learning.sweeps.store import Store
from feature_learning.sweeps.table import read_csv


def call(*arguments):
    """Exit code, standard output and standard error of a call in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main([str(each) for each in arguments])
        except SystemExit as ended:
            code = ended.code
    return code, out.getvalue(), err.getvalue()


def assert_refused(result, *words):
    code, out, err = result
    assert (code, out) == (2, ""), result
    assert err.startswith("feature-learning")
    assert err.count("\n") == 1, err
    for word in words:
        assert word in err, (word, err)


@pytest.fixture
def describe(tmp_path, tiny):
    """Writes the file of a sweep: the small problem, and the given lines for its one block."""

    def write(*lines, **defaults):
        values = {**tiny, **defaults}
        text = ["[defaults]", *(f"{name} = {value!r}" for name, value in values.items())]
        text += ["[[block]]", 'name = "main"', 'reason = "A test."', *lines]
        path = tmp_path / "sweep.toml"
        path.write_text("\n".join(text))
        return path

    return write


@pytest.fixture
def out(tmp_path):
    return tmp_path / "results"


LONG = ["[[block]]", 'name = "long"', 'reason = "r"', "langevin_time = 80000.0"]
EXTRA = ["[[block]]", 'name = "extra"', 'reason = "r"', "step = 1000.0"]


def test_a_sweep_computes_resumes_and_writes_its_table(describe, out, tmp_path, tiny):
    file = describe("seed = [0, 1]")
    csv = tmp_path / "table.csv"
    code, printed, err = call("sweep", file, "--out", out, "--workers", 1, "--table", csv)
    assert (code, printed) == (0, ""), err
    assert "2 cells, 2 to do" in err
    assert "[2/2] network P=20 κ=0.1 seed=" in err
    assert err.endswith("0 found, 2 computed, 0 failed, 0 left\n")
    frame = read_csv(csv)
    assert list(frame["seed"]) == [0, 1]
    assert list(frame["block"]) == ["main", "main"]
    assert frame["m_S"][1] == run_point(configure(**{**tiny, "seed": 1})).row["m_S"]
    # No worker is started where there is nothing to do.
    code, _, err = call("sweep", file, "--out", out)
    assert code == 0
    assert err.endswith("2 found, 0 computed, 0 failed, 0 left\n")
    assert call("sweep", file, "--out", out, "--quiet") == (0, "", "")
    again = tmp_path / "again.csv"
    assert call("table", out, "--csv", again) == (0, "", "")
    assert again.read_bytes() == csv.read_bytes()


def test_failed_cells_are_named_at_the_end_with_exit_code_1(describe, out, here, monkeypatch):
    monkeypatch.setattr(cli_sweep, "LocalPool", here)
    file = describe("seed = [0, 1]", *EXTRA)
    code, _, err = call("sweep", file, "--out", out, "--workers", 1, "--quiet", "--no-weights")
    assert code == 1
    assert err.count("\n") == 1
    assert "failed: block extra: " in err
    assert re.search(r"method=network, .*seed=[01]", err)
    assert re.search(r"n_train=\d+, .*kappa=0\.\d+", err)
    assert "step=1000.0" in err
    assert "use at most" in err
    assert len(list(out.glob("*.json"))) == 2
    assert list(out.glob("*.npz")) == []


def test_only_the_blocks_asked_for_are_computed(describe, out):
    file = describe("seed = [0, 1]", *EXTRA)
    code, printed, _ = call("sweep", file, "--out", out, "--block", "extra", "--dry-run")
    assert code == 0
    assert "1 cells, 0 done, 1 to do" in printed
    assert_refused(call("sweep", file, "--out", out, "--block", "none"), "'none'", "main, extra")


def test_a_dry_run_says_what_there_is_to_do_and_touches_nothing(describe, out, tiny):
    file = describe("seed = [0, 1, 2]")
    code, printed, err = call("sweep", file, "--out", out, "--dry-run", "--workers", 3)
    assert (code, err) == (0, "")
    assert not out.exists()
    for line in (
        "3 cells, 0 done, 3 to do",
        "  main: 3 cells, 3 to do",
        "  to do: network P=20 kappa=0.1 seed=0: 33.3 % of the work",
    ):
        assert line in printed
    config = configure(**tiny)
    store = Store(out)
    store.write(config, run_point(config), provenance("cpu"))
    (damaged := store.path(configure(**{**tiny, "seed": 1}))).write_text("no")
    (out / ".x.json.abc.part").write_text("")
    before = sorted(out.iterdir())
    code, printed, _ = call("sweep", file, "--out", out, "--dry-run")
    assert code == 0
    assert "3 cells, 1 done, 2 to do" in printed
    assert f"computed again: {damaged} is damaged" in printed
    assert "1 temporary files of killed runs" in printed
    assert sorted(out.iterdir()) == before


def test_a_dry_run_lists_the_longest_cells_and_all_of_them_when_asked(describe, out):
    file = describe("seed = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]", *LONG)
    code, printed, _ = call("sweep", file, "--out", out, "--dry-run")
    assert code == 0
    assert "11 cells, 0 done, 11 to do" in printed
    listed = [line for line in printed.splitlines() if line.startswith("  to do: ")]
    assert len(listed) == 10
    assert "  and 1 shorter cells (--verbose lists all)" in printed
    code, printed, _ = call("sweep", file, "--out", out, "--dry-run", "--verbose")
    assert code == 0
    longest, *rest = [line for line in printed.splitlines() if line.startswith("  to do: ")]
    assert len(rest) == 10
    # 80000 of Langevin time, and ten times 40.
    assert longest.endswith(": 99.5 % of the work")
    assert "shorter" not in printed


def test_the_table_leaves_out_what_cannot_be_trusted_with_exit_code_1(out, tiny, tmp_path):
    config, store = configure(**tiny), Store(out)
    store.write(config, run_point(config), provenance("cpu"))
    (out / "foreign.json").write_text("{}")
    code, printed, err = call("table", out, "--csv", tmp_path / "table.csv")
    assert (code, printed) == (1, "")
    assert "foreign.json is not a file of a store" in err
    assert len(read_csv(tmp_path / "table.csv")) == 1


def test_a_folder_without_results_gives_a_table_without_rows_and_says_so(out, tmp_path):
    Store(out)
    code, _, err = call("table", out, "--csv", tmp_path / "t.csv")
    assert (code, err) == (
        0,
        f"feature-learning: {out} has no results; the table has no rows\n",
    )
    assert len((tmp_path / "t.csv").read_text().splitlines()) == 1


def test_cells_that_are_left_after_the_limit_give_exit_code_1(describe, out):
    code, _, err = call("sweep", describe(), "--out", out, "--time-limit", 1e-9, "--workers", 1)
    assert code == 1
    assert err.endswith("0 found, 0 computed, 0 failed, 1 left\n")


def test_a_device_that_is_not_there_is_heard_of_before_any_cell(describe, out):
    code, printed, err = call("sweep", describe(), "--out", out, "--device", "cuda:999")
    assert (code, printed) == (2, "")
    assert err.count("\n") == 1
    assert "device 'cuda:999' is not available" in err
    assert not out.exists()


def test_another_device_is_for_all_cells(describe, out, tiny, monkeypatch):
    monkeypatch.setattr(cli_sweep, "check_device", lambda device: None)
    options = ("--device", "cuda:1", "--workers", 1, "--time-limit", 1e-9)
    assert call("sweep", describe(), "--out", out, *options)[0] == 1
    (asked,) = Store(out).labels()
    assert asked == cell_key(configure(**{**tiny, "device": "cuda:1"}))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--workers", "0"], ["workers", "0"]),
        (["--workers", "many"], ["workers", "many"]),
        (["--time-limit", "-1"], ["time_limit", "-1"]),
        (["--time-limit", "nan"], ["time_limit", "nan"]),
        (["--workers", "1", "--scheduler", "x"], ["scheduler"]),
        (["--scheduler", "ftp://x:1"], ["scheduler", "'ftp://x:1'"]),
        (["--dry"], ["--dry"]),
        (["--device", "tpu", "--dry-run"], ["device", "tpu"]),
    ],
    ids=str,
)
def test_a_wrong_option_ends_with_one_line_that_names_it(describe, out, arguments, words):
    assert_refused(call("sweep", describe(), "--out", out, *arguments), *words)
    assert not out.exists()


def test_wrong_files_end_with_one_line_that_names_them(describe, out, tmp_path):
    good = describe()
    assert_refused(call("sweep", tmp_path / "no.toml", "--out", out), "no.toml")
    assert_refused(call("sweep", good, "--out", good), "sweep.toml", "cannot be used")
    assert_refused(call("sweep", describe("n_train = 0"), "--out", out), "main", "n_train")
    assert_refused(call("sweep", describe("kapa = 1"), "--out", out), "main", "kapa")
    assert_refused(call("sweep", good), "--out")
    assert_refused(call("table", tmp_path / "none", "--csv", "x.csv"), "none")
    out.mkdir()
    assert_refused(call("table", out, "--csv", "/dev/null/x.csv"), "/dev/null/x.csv")


def test_a_scheduler_that_is_not_there_is_refused(describe, out, monkeypatch):
    from feature_learning.sweeps import cluster

    plain = cluster.DaskPool
    monkeypatch.setattr(cluster, "DaskPool", lambda address: plain(address, timeout=0.2))
    arguments = ("--scheduler", "tcp://127.0.0.1:1")
    assert_refused(call("sweep", describe(), "--out", out, *arguments), "127.0.0.1:1")


def test_options_are_not_abbreviated():
    for arguments in (["point", "--meth", "nngp"], ["table", "x", "--cs", "y"], ["--vers"]):
        assert call(*arguments)[0] == 2


@pytest.mark.parametrize("command", ["sweep", "table"])
def test_help_explains(command):
    code, printed, err = call(command, "--help")
    assert (code, err) == (0, "")
    assert "exit codes:" in printed
    assert command in call("--help")[1]


def test_the_file_of_the_help_is_a_file_of_a_sweep(tmp_path):
    example = options._SWEEP.partition("number:")[2].partition("Keys are")[0]
    file = tmp_path / "help.toml"
    file.write_text(example)
    code, printed, _ = call("sweep", file, "--out", tmp_path / "out", "--dry-run", "--quiet")
    assert code == 0
    assert "12 cells, 0 done, 12 to do" in printed


def test_an_interrupted_command_keeps_everything_and_the_same_one_goes_on(
    describe, out, environment, tiny
):
    file = describe(langevin_time=3000.0, measurements=300)
    command = [sys.executable, "-m", "feature_learning", "sweep", str(file)]
    process = subprocess.Popen(
        [*command, "--out", str(out), "--workers", "1"],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    end = time.monotonic() + 120
    while not list(out.glob("checkpoints/[!.]*.npz")):
        assert process.poll() is None
        assert time.monotonic() < end
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does it
    err = process.communicate()[1]
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert err.endswith("0 found, 0 computed, 0 failed, 1 left\n")
    assert list(out.glob("*.json")) == []
    (kept,) = out.glob("checkpoints/*")
    assert call("sweep", file, "--out", out, "--workers", 1, "--quiet") == (0, "", "")
    config = configure(**{**tiny, "langevin_time": 3000.0, "measurements": 300})
    stored, alone = Store(out).read(config).row, run_point(config).row
    assert {**stored, "seconds": 0} == {**alone, "seconds": 0}
    assert not kept.exists()


def test_an_interrupt_before_the_first_cell_ends_without_a_traceback(describe, out, monkeypatch):
    def interrupted(grid, store):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli_sweep, "plan", interrupted)
    code, _, err = call("sweep", describe(), "--out", out, "--workers", 1)
    assert code == 130
    assert err == "feature-learning: interrupted; what was finished is kept\n"


def test_the_workers_are_as_many_as_the_processors_this_process_may_use(describe, out, monkeypatch):
    asked = []

    def make(workers):
        asked.append(workers)
        return LocalPool(workers)

    monkeypatch.setattr(cli_sweep, "LocalPool", make)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 3, 5})
    monkeypatch.setattr(hardware, "processors_allowed", lambda: None)
    call("sweep", describe(), "--out", out, "--time-limit", 1e-9)
    assert asked == [3]


def test_the_file_may_stand_behind_the_blocks(describe, out):
    file = describe(*EXTRA)
    for blocks, cells in ((["main"], 1), (["main", "extra"], 2)):
        code, printed, _ = call("sweep", "--out", out, "--dry-run", "--block", *blocks, file)
        assert code == 0
        assert printed.startswith(f"{cells} cells")
    assert_refused(call("sweep", "--out", out, "--block", "main"), "FILE.toml")
    assert_refused(call("sweep", "--out", out), "FILE.toml")
    assert_refused(call("sweep", "--out", out, "--block", "main", ""), "FILE.toml")


@pytest.mark.parametrize("option", ["--out", "--table"])
@pytest.mark.parametrize("word", ["", " "])
def test_an_empty_path_is_not_the_present_folder(
    describe, out, option, word, monkeypatch, tmp_path
):
    monkeypatch.chdir(tmp_path)
    file, before = describe(), sorted(tmp_path.iterdir())
    assert_refused(call("sweep", file, "--out", out, option, word), option)
    assert sorted(tmp_path.iterdir()) == before


def test_a_table_that_cannot_be_written_is_heard_of_before_any_work(describe, out, tmp_path):
    for table in ("/proc/table.csv", tmp_path):
        assert_refused(call("sweep", describe(), "--out", out, "--table", table), str(table))
        assert not out.exists()


def test_a_finished_folder_that_is_protected_has_nothing_to_do(describe, out, here, monkeypatch):
    monkeypatch.setattr(cli_sweep, "LocalPool", here)
    file = describe("seed = [0, 1]")
    assert call("sweep", file, "--out", out, "--workers", 1, "--quiet")[0] == 0

    def protected(path, *arguments):
        raise PermissionError(13, "Permission denied", str(path))

    # The superuser may write everything.
    monkeypatch.setattr(atomic, "replacing", protected)
    monkeypatch.setattr(locks, "acquire", protected)
    code, printed, err = call("sweep", file, "--out", out)
    assert (code, printed) == (0, "")
    assert err.endswith("2 found, 0 computed, 0 failed, 0 left\n")


def test_a_folder_that_may_not_be_looked_into_is_one_line(describe, out, monkeypatch):
    plain = os.stat

    def stat(path, *arguments, **options):
        if str(path).startswith(str(out)):
            raise PermissionError(13, "Permission denied", str(path))
        return plain(path, *arguments, **options)

    monkeypatch.setattr(os, "stat", stat)
    assert_refused(call("sweep", describe(), "--out", out, "--dry-run"), str(out), "denied")


def test_a_table_goes_where_it_is_asked_for(describe, out, here, monkeypatch, tmp_path, capfd):
    monkeypatch.setattr(cli_sweep, "LocalPool", here)
    assert call("sweep", describe(), "--out", out, "--workers", 1, "--quiet")[0] == 0
    real, link = tmp_path / "real.csv", tmp_path / "link.csv"
    link.symlink_to(real)
    for place in (real, link, os.devnull):
        assert call("table", out, "--csv", place) == (0, "", "")
    assert link.is_symlink()
    capfd.readouterr()
    assert main(["table", str(out), "--csv", "-"]) == 0
    assert capfd.readouterr() == (real.read_text(), "")


@pytest.mark.parametrize("command", ["sweep", "table", "densities"])
def test_a_result_never_takes_the_place_of_something_else(
    describe, out, here, monkeypatch, tmp_path, command
):
    monkeypatch.setattr(cli_sweep, "LocalPool", here)
    file = describe("seed = [0, 1]")
    assert call("sweep", file, "--out", out, "--quiet")[0] == 0
    checkpoint, mine = tmp_path / "c.npz", tmp_path / "mine"
    checkpoint.write_bytes(next(out.glob("*.npz")).read_bytes())
    option = {"sweep": "--table", "table": "--csv", "densities": "--npz"}[command]
    words = ["sweep", file, "--out", out, "--quiet"] if command == "sweep" else [command, out]
    for place in (file, next(out.glob("*.json")), next(out.glob("*.npz")), checkpoint):
        before = place.read_bytes()
        assert_refused(call(*words, option, place), place.name, "not replaced")
        assert place.read_bytes() == before
    mine.touch()  # as from mktemp
    for _ in range(2):
        assert call(*words, option, mine)[0] == 0
    assert mine.stat().st_size > 100


def test_a_file_of_a_sweep_is_no_checkpoint_and_not_called_damaged(
    describe, out, here, monkeypatch
):
    monkeypatch.setattr(cli_sweep, "LocalPool", here)
    assert call("sweep", describe(), "--out", out, "--quiet")[0] == 0
    (weights,) = out.glob("*.npz")
    result = call("diagnose", weights)
    assert_refused(result, weights.name, "not a checkpoint", "weights")
    assert "damaged" not in result[2]
