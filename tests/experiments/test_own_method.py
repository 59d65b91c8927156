"""An energy of one's own as a method: a class that derives from the network's."""

from dataclasses import dataclass
from typing import ClassVar

import pytest

from feature_learning import configure, run_point
from feature_learning.choices import option
from feature_learning.energies.own_prior import OwnPriorEnergy
from feature_learning.errors import ArgumentError
from feature_learning.experiments.flat import flat
from feature_learning.experiments.keys import canonical
from feature_learning.experiments.methods import METHODS, NetworkPosterior


@dataclass(frozen=True)
class Laplace(NetworkPosterior):
    """The posterior under a Laplace prior."""

    name: ClassVar[str] = "laplace"

    sharpness: float = option(1.0, "inverse width of the prior")

    def energy(self, student, data, **common):
        def log_prior(parameters):
            w, a, _ = parameters
            return -self.sharpness * (w.abs().sum(dim=(1, 2)) + a.abs().sum(dim=1))

        return OwnPriorEnergy(
            student,
            data,
            log_prior=log_prior,
            homogeneity_penalty=self.homogeneity_penalty,
            **common,
        )


@pytest.fixture
def options(tiny, monkeypatch):
    monkeypatch.setitem(METHODS, "laplace", Laplace)
    return tiny | {"method": "laplace"}


def test_its_points_are_those_of_its_energy(options):
    wide, tight = (run_point(configure(**options | {"sharpness": each})) for each in (1.0, 10.0))
    assert abs(tight.weights).mean() < 0.5 * abs(wide.weights).mean()
    assert wide.row["config"]["method"] == "laplace"
    given = configure(**options | {"sharpness": 2.0})
    assert configure(**flat(given)) == given
    assert canonical(given)["sharpness"] == 2.0


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"start": "released"}, "start released .* not method laplace"),
        ({"replicas": 2, "step": 0.1}, "replicas has no effect with method laplace"),
    ],
)
def test_what_assumes_the_gaussian_prior_is_refused(options, changes, words):
    with pytest.raises(ArgumentError, match=words):
        configure(**options | changes)


def test_an_evidence_is_refused(options):
    evidence = {"method": "laplace", "sampler": "population"}
    with pytest.raises(ArgumentError, match="sampler population needs method network"):
        configure(**evidence)


def test_gibbs_is_refused(options):
    with pytest.raises(ArgumentError, match="gibbs needs the Gaussian prior"):
        run_point(configure(**options | {"sampler": "gibbs"}))
