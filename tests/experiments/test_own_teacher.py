"""A teacher that is not the library's, in a configuration and by name."""

import json
import math
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest
import torch

from feature_learning import PointConfig, SparseParity, configure, make_dataset, run_point
from feature_learning.choices import option
from feature_learning.errors import ArgumentError, FeatureLearningError
from feature_learning.experiments.flat import flat
from feature_learning.experiments.keys import canonical, cell_key
from feature_learning.experiments.methods import KernelLimit, MeanField
from feature_learning.experiments.runs import AsPublished, Chains
from feature_learning.model.student import Network
from feature_learning.model.teachers import TEACHERS
from feature_learning.samplers.registry import UnderdampedOptions


@dataclass(frozen=True)
class Ridge:
    """y = Σ_j c_j x_j of the first coordinates, x standard normal: E[y²] = |c|²."""

    name: ClassVar[str] = "ridge"

    dim: int = option(5, "input dimension d")
    coefficients: tuple[float, ...] = (1.0, -2.0)
    # The name of an option of another part, which must not be taken for it.
    width: float = 1.0

    @property
    def sparsity(self):
        return len(self.coefficients)

    @property
    def second_moment(self):
        return sum(each**2 for each in self.coefficients) * self.width**2

    def inputs(self, n_train, random):
        return torch.randn(n_train, self.dim, generator=random)

    def target(self, inputs):
        c = torch.tensor(self.coefficients, dtype=inputs.dtype)
        return self.width * (inputs[:, : self.sparsity] @ c)


def config(**changes):
    run = Chains(UnderdampedOptions(0.1), langevin_time=40.0, measurements=20, chains=2)
    parts = {
        "teacher": Ridge(),
        "network": Network(width=8, activation="linear"),
        "run": run,
        "n_train": 40,
        "kappa": 0.05,
        "n_test": 60,
    }
    return PointConfig(**parts | changes)


@pytest.mark.parametrize("start", ["prior", "planted", "spread", "released"])
def test_a_point_of_ones_own_teacher_learns_it(start):
    given = config()
    point = run_point(replace(given, run=replace(given.run, start=start, langevin_time=200.0)))
    row = point.row
    assert row["m_S"] > 0.9
    assert row["test_mse"] < 0.2 * Ridge().second_moment
    assert row["config"]["teacher"] == f"{__name__}.Ridge"
    assert (row["config"]["dim"], row["config"]["sparsity"], row["config"]["width"]) == (5, 2, 8)
    assert row["config"]["teacher.coefficients"] == (1.0, -2.0)
    assert point.weights.shape == (2, 8, 5)
    json.dumps(row, allow_nan=False)


@pytest.mark.parametrize(
    "changes",
    [
        {"method": MeanField()},
        {"method": KernelLimit(), "run": None},
        {"run": Chains(langevin_time=None, measurements=16)},
    ],
)
def test_every_method_takes_it(changes):
    row = run_point(config(kappa=0.3, **changes)).row
    assert 0 < row["test_mse"] < 1.5 * Ridge().second_moment


def test_the_fields_of_a_teacher_are_part_of_the_key_and_of_checkpoints(tmp_path):
    teachers = Ridge(), Ridge(coefficients=(1.0, -2.5)), Ridge(width=2.0), Ridge(dim=6)
    keys = {cell_key(config(teacher=each)) for each in teachers}
    keys.add(cell_key(config(teacher=SparseParity(5, 2))))
    assert len(keys) == 5
    first = run_point(config(), checkpoint=tmp_path / "run.npz")
    again = run_point(config(), checkpoint=tmp_path / "run.npz")
    assert first.row["m_S"] == again.row["m_S"]
    with pytest.raises(FeatureLearningError, match="another run"):
        run_point(config(teacher=teachers[1]), checkpoint=tmp_path / "run.npz")


def test_a_subclass_of_a_known_teacher_is_not_that_teacher():
    @dataclass(frozen=True)
    class Flipped(SparseParity):
        def target(self, inputs):
            return -super().target(inputs)

    assert cell_key(config(teacher=Flipped(5, 2))) != cell_key(config(teacher=SparseParity(5, 2)))
    row = run_point(config(teacher=Flipped(5, 2), run=Chains(chains=4, measurements=16))).row
    assert row["config"]["teacher"].endswith("Flipped")


def test_a_registered_teacher_is_known_by_name(monkeypatch):
    monkeypatch.setitem(TEACHERS, "ridge", Ridge)
    given = configure(teacher="ridge", dim=7, n_train=30)
    assert given.teacher == Ridge(dim=7)
    assert configure(**flat(given)) == given
    assert canonical(given)["teacher"] == "ridge"


def test_known_teachers_keep_their_keys():
    assert cell_key(PointConfig()) == "network-P1000-471051031ffdf83578b4047d"
    assert not [name for name in flat(PointConfig()) if "." in name]


@dataclass(frozen=True)
class Broken(Ridge):
    what: str = ""

    def inputs(self, n_train, random):
        drawn = super().inputs(n_train, random)
        return drawn[:, 1:] if self.what == "inputs" else drawn

    def target(self, inputs):
        y = super().target(inputs)
        return {"column": y.unsqueeze(1), "infinite": y * math.inf}.get(self.what, y)


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("inputs", r"inputs of Broken must return \(9, 5\), not \(9, 4\)"),
        ("column", r"target of Broken must return \(9,\), not \(9, 1\)"),
        ("infinite", "target of Broken must return finite numbers"),
    ],
)
def test_data_of_other_shapes_are_refused(what, words):
    with pytest.raises(ArgumentError, match=words):
        make_dataset(Broken(what=what), 9, seed=0)
    assert len(make_dataset(Broken(), 9, seed=0)) == 9


@dataclass
class Loose:
    dim: int = 3
    sparsity: int = 2
    second_moment: float = 1.0
    inputs = target = None


@pytest.mark.parametrize(
    ("teacher", "words"),
    [
        (object(), "teacher must have dim, sparsity, .*target, which object lacks"),
        (Loose(), "teacher must be a frozen data class, which Loose is not"),
        (Ridge(coefficients=()), "sparsity must be a whole number of at least 1, not 0"),
        (Ridge(dim=1), "sparsity must be at most dim = 1, not 2"),
        (Ridge(width=0.0), "second_moment must be a finite number above 0, not 0.0"),
        (
            Ridge(coefficients=np.ones(2)),
            r"teacher must have fields that are numbers.*, not coefficients = array\(\[1",
        ),
    ],
)
def test_what_is_no_teacher_is_refused(teacher, words):
    with pytest.raises(ArgumentError, match=words):
        config(teacher=teacher)


def test_the_published_protocol_is_for_the_published_teachers():
    with pytest.raises(ArgumentError, match=r"protocol published needs teacher parity .*Ridge"):
        config(run=AsPublished())
