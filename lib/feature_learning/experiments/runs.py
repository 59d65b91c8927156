"""The ways to sample a point: chains, the published protocol, or an evidence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from feature_learning.choices import STARTS, option
from feature_learning.errors import (
    ArgumentError,
    check_choice,
    check_integer,
    check_real,
    store_plain,
)
from feature_learning.samplers.options import SETTLED, SamplingOptions
from feature_learning.samplers.registry import SGLDOptions

_CODE = (
    "signs of the specialised neurons, such as --code='+-++ -+++': chains are planted with them, "
    "samplers population and integration give their evidence"
)
_CHAINS = "chains, or populations (8 if the run continues until it has settled, else 4)"
_START = "starting points (spread if the run continues until it has settled, else prior)"
#: Placeholder for a value that depends on the others: None until a point has chosen it.
_CHOSEN: Any = None


@dataclass(frozen=True)
class Chains(SamplingOptions):
    """Markov chains of a fixed length, or run until they have settled.

    Attributes
    ----------
    chains : int
        Number of chains; they share the data set.
    code : str or None
        Sign patterns of the planted neurons, such as ``"+-++ -+++"``.
    stop_when_converged : bool
        End a run of fixed length as soon as it has converged.

    None for ``chains``, ``start`` or ``until_settled`` is replaced by the point: a network sampled
    by underdamped dynamics without a given length runs until it has settled, with four chains from
    each of two kinds of start.
    """

    start: str = option(_CHOSEN, _START, allowed=STARTS)
    until_settled: bool = option(_CHOSEN, SETTLED)
    chains: int = option(_CHOSEN, _CHAINS)
    code: str | None = option(None, _CODE, metavar="PATTERNS")
    stop_when_converged: bool = option(False, "end a run of fixed length early")

    def __post_init__(self) -> None:
        if None in (self.start, self.until_settled, self.chains):
            store_plain(self)  # checked after the values are chosen
            return
        super().__post_init__()
        check_integer("chains", self.chains, at_least=1)
        if self.code is not None and self.start not in ("planted", "spread"):
            raise ArgumentError(
                f"code has no effect with start {self.start}: it is for starts planted and spread, "
                "and for samplers population and integration"
            )


@dataclass(frozen=True)
class AsPublished:
    """Plain SGLD on the published clock and stopping rule; the last sample is reported."""

    protocol: ClassVar[str] = "published"

    chains: int = option(4, _CHAINS)
    start: str = option("prior", _START, allowed=STARTS)
    step: float | None = option(None, "step size (from the curvature at the start)")

    def __post_init__(self) -> None:
        store_plain(self)
        check_integer("chains", self.chains, at_least=1)
        check_choice("start", self.start, STARTS)
        _ = self.sampling

    @property
    def sampling(self) -> SamplingOptions:
        """How a network is sampled; the protocol determines schedule and stopping."""
        return SamplingOptions(sampler=SGLDOptions(step=self.step), start=self.start)


@dataclass(frozen=True)
class Populations:
    """Populations of networks that are cooled from the prior; each gives an estimate of log Z.

    Attributes
    ----------
    chains : int
        Number of populations.
    members, moves : int or None
        Networks in each population (None: 16), and steps at each noise (None: 30).
    code : str or None
        Sign patterns of specialised neurons, which are held to the code and then released
        (:mod:`feature_learning.evidence.populations`).
    langevin_time : float or None
        Langevin time in which networks find the code before it is held (None: 1500).
    """

    name: ClassVar[str] = "population"
    #: Default number of networks in one batch.
    usual: ClassVar[int] = 16

    chains: int = option(4, _CHAINS)
    members: int | None = option(
        None, "networks in each population (16) or integral (4)", metavar="R"
    )
    moves: int | None = option(None, "steps at each noise or measurement (30)", metavar="S")
    code: str | None = option(None, _CODE, metavar="PATTERNS")
    langevin_time: float | None = option(None, "time before a code is held (1500)", metavar="T")

    def __post_init__(self) -> None:
        store_plain(self)
        check_integer("chains", self.chains, at_least=1)
        if self.members is not None:
            check_integer("members", self.members, at_least=2, at_most=100_000)
        if self.moves is not None:
            check_integer("moves", self.moves, at_least=1)
        if self.langevin_time is not None:
            check_real("langevin_time", self.langevin_time, above=0)
            if self.code is None:
                raise ArgumentError(
                    f"langevin_time has no effect with sampler {self.name} without a code"
                )

    @property
    def networks(self) -> int:
        """Number of members of each population."""
        return self.usual if self.members is None else self.members

    @property
    def steps(self) -> int:
        """Steps at each noise of the path, or between two measurements of an integral."""
        return 30 if self.moves is None else self.moves

    @property
    def settling_time(self) -> float:
        """Langevin time in which networks find the code before it is held."""
        return 1500.0 if self.langevin_time is None else self.langevin_time


@dataclass(frozen=True)
class Integrals(Populations):
    """Thermodynamic integrals along the same path as populations, without resampling."""

    name: ClassVar[str] = "integration"
    usual: ClassVar[int] = 4


Run = Chains | AsPublished | Populations | Integrals
#: Runs that measure an evidence, by the name of their sampler.
EVIDENCE: dict[str, type[Populations] | type[Integrals]] = {
    each.name: each for each in (Populations, Integrals)
}
