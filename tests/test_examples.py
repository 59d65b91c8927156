"""The examples run as a reader runs them, and print numbers that are right."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture
def printed(environment, tmp_path):
    def run(name):
        command = [sys.executable, "-W", "error", str(EXAMPLES / name)]
        done = subprocess.run(
            command, env=environment, cwd=tmp_path, text=True, capture_output=True, timeout=300
        )
        assert done.returncode == 0, done.stderr
        assert not done.stderr
        return done.stdout

    return run


def numbers(text):
    return [float(each) for each in re.findall(r"-?\d+\.\d+", text)]


def test_all_examples_are_run_here():
    tests = Path(__file__).read_text(encoding="utf-8")
    for each in EXAMPLES.glob("*.py"):
        assert f'("{each.name}"' in tests
        assert len(each.read_text(encoding="utf-8").splitlines()) <= 50


@pytest.mark.parametrize(
    ("name", "exact"), [("sgld_by_hand.py", 0.1187), ("own_energy.py", 0.4993)]
)
def test_a_sampled_mean_is_the_exact_one(printed, name, exact):
    mean, error, sum_over_a_grid = numbers(printed(name))
    assert sum_over_a_grid == pytest.approx(exact, abs=1e-4)
    assert error < 0.005
    # The step of SGLD shifts the mean by less than the second term.
    assert abs(mean - exact) < 4.5 * error + 0.01 * exact


def test_predictions_for_data_of_ones_own_are_those_of_the_kernel(printed):
    out = printed("own_data.py")
    table = np.array([numbers(line) for line in out.splitlines()[1:10]])
    assert table.shape == (9, 4)
    np.testing.assert_allclose(table[:, 1], table[:, 3], atol=0.04)
    assert np.ptp(table[:, 3]) > 1
    assert (table[:, 2] > 0.05).all()
    (difference,) = numbers(out.splitlines()[10])
    assert difference == pytest.approx(np.abs(table[:, 1] - table[:, 3]).max(), abs=0.0011)
    assert re.search(r"chains (agreed|not settled): R-hat 1\.0\d+, ESS \d+", out)
