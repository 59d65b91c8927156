"""The methods by name, with their options.

A method is the network's posterior, one of its two mean fields, or the limit of infinite width. A
new energy is its module, a class here that derives from :class:`NetworkPosterior` and returns it,
with its place in :data:`METHODS`, and its test.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from feature_learning.choices import NNGP_VARIANTS, SOLVERS, option
from feature_learning.errors import (
    check_choice,
    check_integer,
    check_real,
    check_scale,
    store_plain,
)

# torch takes seconds to import, and a configuration holds a method.
if TYPE_CHECKING:
    from feature_learning.energies.base import Energy
    from feature_learning.model.student import Student
    from feature_learning.model.teachers import Dataset


class _Method:
    """Base class of the methods."""

    name: ClassVar[str]
    #: See :data:`feature_learning.experiments.keys.METHOD_VERSIONS`.
    version: ClassVar[int] = 1

    @classmethod
    def idle(cls, given: Mapping[str, Any]) -> set[str]:
        """Options of other parts that have no effect with this method and the given options."""
        return set()


@dataclass(frozen=True)
class NetworkPosterior(_Method):
    """The posterior of a network of finite width.

    Attributes
    ----------
    homogeneity_penalty : float
        λ ≥ 0 of the homogeneity penalty λ Σ_i Var_j ``|w_ij|`` on the loss.
    tilt : float
        Factor of the prior variance of the weights on the relevant coordinates
        (:mod:`feature_learning.theory.free_energy`).
    """

    name: ClassVar[str] = "network"

    homogeneity_penalty: float = option(
        0.0,
        "L sum_i Var_j |w_ij| on the loss of the network (0: none)",
        metavar="L",
        keyed_as="penalty",
    )
    tilt: float = option(
        1.0, "F times the prior variance on the relevant coordinates (1: none)", metavar="F"
    )

    def __post_init__(self) -> None:
        store_plain(self)
        check_real("homogeneity_penalty", self.homogeneity_penalty, at_least=0)
        check_scale("tilt", self.tilt)

    def energy(
        self,
        student: Student,
        data: Dataset,
        *,
        kappa: float,
        chains: int,
        tile_elements: int | None,
    ) -> Energy:
        """What is sampled. A method with another energy derives from this one and returns it."""
        from feature_learning.energies.particles import network_posterior

        return network_posterior(
            student,
            data,
            kappa=kappa,
            chains=chains,
            homogeneity_penalty=self.homogeneity_penalty,
            tile_elements=tile_elements,
        )


@dataclass(frozen=True)
class MeanField(_Method):
    """One neuron in the average field of all, as M particles.

    Attributes
    ----------
    solver : str
        ``particles`` with readouts, or ``collapsed`` with readouts integrated out.
    particles : int or None
        Number of particles M; None takes the width.
    """

    name: ClassVar[str] = "mf"

    solver: str = option("particles", "how the mean field is solved", allowed=SOLVERS)
    particles: int | None = option(None, "particles (the width)", metavar="M")

    def __post_init__(self) -> None:
        store_plain(self)
        check_choice("solver", self.solver, SOLVERS)
        if self.particles is not None:
            check_integer("particles", self.particles, at_least=1)

    @property
    def collapsed(self) -> bool:
        """Whether the particles have no readouts."""
        return self.solver == "collapsed"


@dataclass(frozen=True)
class MeanFieldARD(MeanField):
    """The mean field with adaptive prior precisions.

    Attributes
    ----------
    alpha0 : float
        Parameter of the hyper-prior, see :class:`feature_learning.model.priors.Ard`.
    """

    name: ClassVar[str] = "mf-ard"

    alpha0: float = option(4.0, "hyper-prior of mf-ard")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_scale("alpha0", self.alpha0)


@dataclass(frozen=True)
class KernelLimit(_Method):
    """Kernel regression at infinite width (NNGP), which is exact: nothing is sampled.

    Attributes
    ----------
    nngp_variant : str
        ``matched``, or ``as-published``, which uses its own 50,000 test points.
    """

    name: ClassVar[str] = "nngp"

    nngp_variant: str = option("matched", "which kernel limit", allowed=NNGP_VARIANTS)

    def __post_init__(self) -> None:
        check_choice("nngp_variant", self.nngp_variant, NNGP_VARIANTS)

    @classmethod
    def idle(cls, given: Mapping[str, Any]) -> set[str]:
        """The width is infinite, there are no tiles, and one variant has its own test points."""
        own = {"n_test"} if given.get("nngp_variant") == "as-published" else set()
        return {"width", "tile_elements"} | own


Method = NetworkPosterior | MeanField | MeanFieldARD | KernelLimit
#: Name to class.
METHODS: dict[str, type[Method]] = {
    each.name: each for each in (NetworkPosterior, MeanField, MeanFieldARD, KernelLimit)
}
