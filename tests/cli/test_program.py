"""Ctrl-C while the program is still loading the library: one line and exit code 130."""

import os
import subprocess
import sys

import pytest

from feature_learning import __version__

#: Starts the program, with a SIGINT to itself as soon as a certain module is asked for.
PROGRAM = """
import os, signal, sys

class Watch:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), signal.SIGINT)

{before}
sys.meta_path.insert(0, Watch())
from feature_learning.cli.main import program
program()
"""


def start(environment, *arguments, module, before=""):
    program = PROGRAM.format(module=module, before=before)
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("module", "argument"),
    [
        ("numpy", "point"),
        ("torch._C", "point"),
        ("scipy.signal", "point"),
    ],
)
def test_an_interrupt_while_loading_ends_with_one_line(environment, module, argument):
    done = start(environment, argument, module=module)
    assert done.returncode == 130, done.stderr
    assert done.stdout == ""
    assert done.stderr == "feature-learning: interrupted before anything was computed\n"


def test_an_interrupt_on_the_way_to_the_first_step_ends_with_one_line(environment):
    program = """
import os, signal, sys
from feature_learning.experiments import point as experiments
from feature_learning.cli.main import program

def stop(config):
    os.kill(os.getpid(), signal.SIGINT)

experiments.check_memory = stop
program()
"""
    done = subprocess.run(
        [sys.executable, "-c", program, "point"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr == "feature-learning: interrupted; what was finished is kept\n"


def test_signals_after_the_first_change_nothing_about_how_a_program_ends(environment):
    """While its line is written, and while Python takes the process apart."""
    program = """
import atexit, os, signal
from feature_learning.cli import ending

def press(*arguments):
    os.kill(os.getpid(), signal.SIGINT)

def say(name, text, plain=ending.say):
    press()
    plain(name, text)

ending.say = say
atexit.register(press)
ending.leave(ending.run_program("program", press))
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr.startswith("program: interrupted")
    assert done.stderr.count("\n") == 1


def test_who_reads_no_further_ends_the_program_without_a_traceback(environment):
    program = "from feature_learning.cli.main import program; program()"
    small = ("--method", "nngp", "--n-train", "20", "--n-test", "50", "--json")
    reading, writing = os.pipe()
    os.close(reading)
    run = subprocess.run(
        [sys.executable, "-c", program, "point", *small],
        env=environment,
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
    )
    os.close(writing)
    assert run.returncode == 141
    assert "Traceback" not in run.stderr


def test_an_ignored_interrupt_stays_ignored(environment):
    ignore = "signal.signal(signal.SIGINT, signal.SIG_IGN)"
    done = start(environment, "--version", module="torch", before=ignore)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == ["feature-learning", __version__]
