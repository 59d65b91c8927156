"""How programs end: one line and an exit code for the kind of error, whatever the streams are."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from feature_learning.cli.ending import run_program
from feature_learning.errors import ArgumentError, FeatureLearningError

#: A program of one line that ends as all do; ``{}`` is what it does.
PROGRAM = """
import os, sys
from feature_learning.cli.ending import answer, check_output, leave, run_program

def body():
    {}
    return 0

leave(run_program("p", body))
"""


class Failing(FeatureLearningError):
    exit_code = 1


def start(environment, line, shell='exec {python} -c "$program"', **variables):
    """Run a program that does ``line``, with a ``shell`` around it."""
    return subprocess.run(
        ["bash", "-c", shell.format(python=sys.executable)],
        env=environment | {"program": PROGRAM.format(line)} | variables,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


ADVICE = "use fewer training samples, chains or neurons"


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (ArgumentError("kappa must be\nmore"), 2, "p: error: kappa must be more\n"),
        (Failing("some cells failed"), 1, "p: error: some cells failed\n"),
        (PermissionError(13, "denied", "/x/y"), 2, "p: error: cannot use /x/y: denied\n"),
        (OSError("odd"), 2, "p: error: odd\n"),
        (MemoryError(), 2, f"p: error: out of memory: {ADVICE}\n"),
        (KeyboardInterrupt(), 130, "p: interrupted; what was finished is kept\n"),
        (BrokenPipeError(), 141, ""),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_error_is_one_line_and_an_exit_code(capfd, error, code, words):
    def body():
        raise error

    assert run_program("p", body) == code
    assert capfd.readouterr() == ("", words)


def test_a_fault_of_the_program_is_not_hidden():
    def body():
        raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes"):
        run_program("p", body)


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_every_signal_ends_a_program_as_ctrl_c_does(environment, name):
    number = getattr(signal, name)
    done = start(environment, f"os.kill(os.getpid(), {int(number)}); import time; time.sleep(4)")
    if signal.getsignal(number) == signal.SIG_IGN:
        # Under nohup these tests ignore SIGHUP, and so does every program that they start.
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        return
    assert (done.returncode, done.stdout) == (128 + number, "")
    assert done.stderr.startswith("p: interrupted")
    assert done.stderr.count("\n") == 1
    assert (name in done.stderr) == (name != "SIGINT")


def test_what_is_ignored_from_the_start_stays_so(environment):
    line = f"os.kill(os.getpid(), {int(signal.SIGHUP)})"
    done = start(environment, line, shell='exec nohup {python} -c "$program"')
    assert done.returncode == 0, done.stderr


def test_a_run_that_is_to_end_saves_and_says_so(environment, tmp_path):
    checkpoint = tmp_path / "c.npz"
    small = {"dim": 6, "sparsity": 2, "width": 8, "n_train": 20, "kappa": 0.1, "chains": 2}
    small |= {"step": 0.2, "measurements": 20, "langevin_time": 1e6, "n_test": 50}
    options = [f"--{name.replace('_', '-')}={value}" for name, value in small.items()]
    running = subprocess.Popen(
        [sys.executable, "-m", "feature_learning", "point", *options, f"--checkpoint={checkpoint}"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert running.stderr.read(1)  # the bar of progress: it computes
    running.send_signal(signal.SIGTERM)
    out, err = running.communicate(timeout=60)
    assert running.returncode == 128 + signal.SIGTERM
    assert b"interrupted before" in out
    assert b"Traceback" not in err
    assert [path.name for path in tmp_path.iterdir()] == ["c.npz"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no full device")
def test_a_result_that_cannot_be_written_is_one_line(environment):
    for line in ("answer('κ')", "print('κ')"):
        done = start(environment, line, shell='{python} -c "$program" > /dev/full')
        assert done.returncode == 2
        assert done.stderr.count("\n") == 1, done.stderr
        assert "No space left" in done.stderr


def test_a_closed_standard_output_is_refused_before_the_work(environment):
    line = "check_output(); print('working', file=sys.stderr)"
    done = start(environment, line, shell='{python} -c "$program" >&-')
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "standard output is closed" in done.stderr
    assert start(environment, line).returncode == 0


def test_closed_streams_that_a_program_does_not_need_change_nothing(environment, tmp_path):
    # A file that is opened must not get the number of a stream.
    line = "sys.stderr.isatty(); sys.stderr.write('x'); print(open('file', 'w').fileno() > 2)"
    shell = f'cd {tmp_path}; {{python}} -c "$program" 2>&- <&-'
    done = start(environment, line, shell=shell)
    assert (done.returncode, done.stdout) == (0, "True\n")


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "ascii"])
def test_what_an_encoding_cannot_write_is_spelt_out(environment, encoding):
    line = r"print('\u03ba, \u03a3, \u0144, \u2588, \udc80')"
    done = start(environment, line, PYTHONIOENCODING=encoding)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "kappa, Sigma, n, ?, ?\n"


def test_help_and_refusals_need_no_torch(environment):
    program = """
import sys
from feature_learning.cli.main import main
for arguments in (["--help"], ["point", "--help"], ["sweep", "--help"], ["point", "--kappa", "x"]):
    try:
        main(arguments)
    except SystemExit:
        pass
print(sorted({"torch", "numpy", "scipy", "pandas", "arviz_stats"} & set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.endswith("\n[]\n"), done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no full device")
def test_a_full_standard_error_changes_no_result(environment):
    line = "from feature_learning.cli.ending import say; say('p', 'x' * 9000); print('result')"
    done = start(environment, line, shell='{python} -c "$program" 2> /dev/full')
    assert (done.returncode, done.stdout) == (0, "result\n")
    failing = "from feature_learning.errors import StoreError; raise StoreError('bad')"
    done = start(environment, failing, shell='{python} -c "$program" 2> /dev/full')
    assert done.returncode == 2
