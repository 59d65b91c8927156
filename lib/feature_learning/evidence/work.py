"""The work of an evidence in short steps, so that it can be interrupted after each of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from feature_learning.energies.tether import Tether
from feature_learning.evidence.annealing import FloatArray, Population, anneal
from feature_learning.evidence.cooling import Cooling, Release
from feature_learning.evidence.integration import integrate
from feature_learning.evidence.settling import Settling
from feature_learning.model.student import Student
from feature_learning.model.teachers import Dataset


class Work:
    """The work of all populations, and its progress."""

    def __init__(
        self,
        student: Student,
        data: Dataset,
        signs: FloatArray,
        random: torch.Generator,
        *,
        populations: int,
        members: int,
        kappa: float,
        steps: int,
        share: float,
        langevin_time: float,
        tile_elements: int | None,
        integral: bool = False,
    ) -> None:
        self.student, self.data, self.signs, self.random = student, data, signs, random
        self.populations, self.members, self.integral = populations, members, integral
        self._go: Callable[..., bool] = integrate if integral else partial(anneal, share=share)
        self._options: dict[str, Any] = {
            "kappa": kappa,
            "members": members,
            "steps": steps,
            "tile_elements": tile_elements,
        }
        self.finished: list[Population] = []
        self.present: Population | None = None
        self.released = False  # whether the present population is on its second path
        self.tether: Tether | None = None
        self.settling: Settling | None = None
        if len(signs):
            self.settling = Settling(
                student,
                data,
                signs,
                kappa=kappa,
                langevin_time=langevin_time,
                random=random,
                tile_elements=tile_elements,
            )

    @property
    def done(self) -> float:
        """Populations done, with the share of the present one; settling counts as half of one."""
        if self.settling is not None and self.tether is None:
            return 0.5 * self.settling.fraction
        extra = 0.0 if self.settling is None else 0.5
        at = 0.0 if self.present is None or self.present.at is None else self.present.at
        # The steps are about uniform in log β; the release takes a fifth of them.
        cooling = 1.0 if self.settling is None else 0.8
        if self.released:
            extra += cooling + (1 - cooling) * at
        else:
            extra += cooling * math.log1p(at) / math.log1p(0.5 / self._options["kappa"] ** 2)
        return len(self.finished) + extra

    @property
    def total(self) -> float:
        """Value of :attr:`done` at the end."""
        return self.populations + (0.5 if len(self.signs) else 0.0)

    def advance(self) -> None:
        """Make one measurement of the settling networks, or one step of a population."""
        if self.settling is not None and self.tether is None:
            self.settling.advance()
            if self.settling.fraction >= 1:
                self.tether = self.settling.tether()
            return
        kind = Release if self.released else Cooling
        path = kind(self.student, self.data, tether=self.tether, **self._options)
        if self.present is None:
            assert isinstance(path, Cooling)
            self.present = Population.of(path.start(self.random), self.members)
        if not self._go(self.present, path, random=self.random, after=lambda _: True):
            return
        if self.tether is None or self.released:
            self.finished.append(self.present)
            self.present = None
        self.released = self.tether is not None and not self.released

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The state for a checkpoint."""
        found: dict[str, NDArray[Any]] = {
            "random": self.random.get_state().numpy(),
            "counts": np.array([len(self.finished), self.released], np.int64),
        }
        if self.tether is not None:
            found |= {"tether.mean": self.tether.mean, "tether.precision": self.tether.precision}
        elif self.settling is not None:
            found |= self.settling.arrays()
        for number, each in self._numbered():
            found |= {f"{number}.{name}": values for name, values in _stored(each).items()}
        return found

    def restore(self, stored: dict[str, NDArray[Any]]) -> None:
        """Restore the state returned by :meth:`arrays`."""
        finished, released = (int(each) for each in stored["counts"])
        if "tether.mean" in stored:
            self.tether = Tether(stored["tether.mean"], stored["tether.precision"])
        elif self.settling is not None:
            self.settling.restore(stored)
        size = self.student.size(self.members, self.student.width)
        found = []
        for number in range(finished + 1):
            if number < finished or f"{number}.position" in stored:
                found.append(_restored(stored, f"{number}.", self.data, (size, self.members)))
        self.finished, self.released = found[:finished], bool(released)
        self.present = found[finished] if len(found) > finished else None
        self.random.set_state(torch.from_numpy(stored["random"]))

    def _numbered(self) -> Iterator[tuple[int, Population]]:
        yield from enumerate(self.finished)
        if self.present is not None:
            yield len(self.finished), self.present


def _stored(population: Population) -> dict[str, NDArray[Any]]:
    at = math.nan if population.at is None else population.at
    return {
        "position": population.position.cpu().numpy(),
        "families": population.families,
        "numbers": np.array([population.log_evidence, at, population.step_size]),
        "ladder": np.array(population.ladder),
        "effective": np.array(population.effective),
    }


def _restored(
    stored: dict[str, NDArray[Any]], prefix: str, data: Dataset, shape: tuple[int, int]
) -> Population:
    position, families = stored[prefix + "position"], stored[prefix + "families"]
    if position.shape != shape[:1] or families.shape != shape[1:]:
        raise ValueError(f"{prefix}position has shape {position.shape}")
    log_evidence, at, step_size = (float(each) for each in stored[prefix + "numbers"])
    return Population(
        torch.from_numpy(position.copy()).to(data.labels),
        families.astype(np.int64),
        log_evidence,
        None if math.isnan(at) else at,
        step_size,
        stored[prefix + "ladder"].tolist(),
        stored[prefix + "effective"].tolist(),
    )
