"""The registry: samplers describe themselves, and a new one needs a class and one line."""

from dataclasses import dataclass
from typing import ClassVar

import pytest

from feature_learning.choices import option
from feature_learning.cli.main import main
from feature_learning.errors import ArgumentError
from feature_learning.experiments.flat import configure, flat, scopes
from feature_learning.experiments.keys import canonical
from feature_learning.experiments.point import run_point
from feature_learning.samplers import SGLD
from feature_learning.samplers.registry import SAMPLERS, SamplerOptions


@dataclass(frozen=True)
class Slow(SGLD):
    """SGLD whose step is divided."""

    slowness: int = 1

    def with_step(self, step_size):
        return Slow(step_size / self.slowness, self.slowness)


@dataclass(frozen=True)
class SlowOptions(SamplerOptions):
    name: ClassVar[str] = "slow"
    budget: ClassVar[float] = 60.0

    slowness: int = option(2, "divides the step")

    def build(self, step, energy):
        return Slow(step / self.slowness, self.slowness)


@pytest.fixture
def slow(monkeypatch):
    monkeypatch.setitem(SAMPLERS, "slow", SlowOptions)


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_sampler_is_built_from_its_options(name, tiny):
    config = configure(**tiny | {"sampler": name, "langevin_time": 4.0, "measurements": 2})
    assert run_point(config).row["step"] == pytest.approx(0.2)
    assert config.run.sampler.name == name


def test_another_sampler_is_a_class_and_a_line(slow, tiny, capsys):
    plain = run_point(configure(**tiny | {"sampler": "sgld"})).row
    config = configure(**tiny | {"sampler": "slow", "slowness": 4})
    assert config.run.sampler.slowness == 4
    assert canonical(config)["slowness"] == 4
    assert flat(config)["sampler"] == "slow"
    row = run_point(config).row
    assert row["step"] == pytest.approx(plain["step"] / 4)
    assert row["steps"] == pytest.approx(4 * plain["steps"], rel=0.1)
    assert scopes()["sampler slow"] == ["slowness"]
    with pytest.raises(SystemExit):
        main(["point", "--sampler", "slow", "--help"])
    assert "--slowness N" in capsys.readouterr().out


def test_without_it_nothing_is_known_of_it(slow, monkeypatch):
    monkeypatch.delitem(SAMPLERS, "slow")
    with pytest.raises(ArgumentError, match=r"sampler must be one of .* not .slow."):
        configure(sampler="slow")
    with pytest.raises(ArgumentError, match="there is no option slowness"):
        configure(slowness=3)
    assert "slowness" not in flat(configure())
