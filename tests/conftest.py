"""Set-up of all tests: one thread, a Ctrl-C that arrives, and small problems."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import settings
from small_runs import KINDS, Here, MomentTest

# The same examples on every machine: a failure seen by one reader is seen by all.
settings.register_profile("library", deadline=None, derandomize=True, database=None)
settings.load_profile("library")


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Small problems run fastest on one thread, and sums keep their order."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session", autouse=True)
def _interrupts() -> None:
    """A shell that runs the tests in the background ignores Ctrl-C, and children inherit that."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def trial():
    """Makes a small run; see :class:`Trial`."""
    return MomentTest


@pytest.fixture(params=KINDS)
def kind(request):
    """Each pairing of an energy and a sampler."""
    return request.param


@pytest.fixture
def tiny():
    """Options of a point that takes a fraction of a second, as keywords of PointConfig."""
    return {
        "dim": 6,
        "sparsity": 2,
        "width": 8,
        "n_train": 20,
        "kappa": 0.1,
        "n_test": 50,
        "langevin_time": 40.0,
        "step": 0.2,
        "measurements": 20,
        "chains": 2,
    }


@pytest.fixture
def here():
    """An executor without processes; see :class:`Here`."""
    return Here


@pytest.fixture
def environment():
    """Variables for a Python process of its own that can import the library and this file."""
    tests = Path(__file__).resolve().parent
    paths = [str(tests.parent / "lib"), str(tests / "helpers")]
    return os.environ | {
        "PYTHONPATH": os.pathsep.join([*paths, os.environ.get("PYTHONPATH", "")]).rstrip(
            os.pathsep
        ),
        "PYTHONUNBUFFERED": "1",
        "OMP_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "",
    }
