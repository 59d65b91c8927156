r"""The targets of learning: sparse parities and single-index Hermite polynomials.

A teacher draws inputs x and labels y = target(x), and knows its exact second moments. Both
teachers are isotropic, E[x_i x_j] = δ_ij, and both depend on the first k coordinates S only.

A teacher of one's own is a frozen data class with what :class:`Teacher` lists;
:func:`feature_learning.experiments.point.run_point` takes it in a ``PointConfig``. The command line
and sweeps take it by name once it is in :data:`TEACHERS`, with a class attribute ``name`` and with
fields made by :func:`feature_learning.choices.option`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

from feature_learning.choices import LARGEST_DEGREE, option
from feature_learning.errors import (
    ArgumentError,
    check_integer,
    check_real,
    shortened,
    store_plain,
)

# Configurations import this module, and torch takes seconds to import: import it on first use.
if TYPE_CHECKING:
    import torch
    from torch import Tensor


@runtime_checkable
class Teacher(Protocol):
    """The interface of a teacher."""

    @property
    def dim(self) -> int:
        """Number of input coordinates d."""

    @property
    def sparsity(self) -> int:
        """Number k of relevant coordinates; S is the first k."""

    @property
    def second_moment(self) -> float:
        """E[y²], exactly; also the test MSE of the zero predictor."""

    def inputs(self, count: int, random: torch.Generator) -> Tensor:
        """Draw inputs, shape (samples, dim), float32, on the CPU."""

    def target(self, inputs: Tensor) -> Tensor:
        """The label of each input, (samples,), from inputs (samples, dim)."""


def _check_support(dim: int, sparsity: int) -> None:
    check_integer("dim", dim, at_least=1)
    check_integer("sparsity", sparsity, at_least=1)
    if sparsity > dim:
        raise ArgumentError(f"sparsity must be at most dim = {dim}, not {sparsity!r}")


@dataclass(frozen=True)
class SparseParity:
    r"""Sparse parity: x uniform on {-1,+1}^d, y = χ_S(x) = Π_{j∈S} x_j, S the first k coordinates.

    E[y²] = 1, E[x_i x_j] = δ_ij and ``|x|² = d`` for every input.
    """

    name: ClassVar[str] = "parity"

    dim: int = option(35, "input dimension d")
    sparsity: int = option(4, "relevant coordinates k")

    def __post_init__(self) -> None:
        store_plain(self)
        _check_support(self.dim, self.sparsity)

    @property
    def second_moment(self) -> float:
        """E[y²] = 1."""
        return 1.0

    def inputs(self, count: int, random: torch.Generator) -> Tensor:
        """Uniform signs, shape (samples, dim)."""
        import torch

        signs = torch.randint(0, 2, (count, self.dim), generator=random, device="cpu")
        return signs.float().mul_(2).sub_(1)

    def target(self, inputs: Tensor) -> Tensor:
        """χ_S(x) = Π_{j<k} x_j, shape (samples,)."""
        return inputs[:, : self.sparsity].prod(dim=1)


@dataclass(frozen=True)
class SingleIndex:
    r"""Single index: x ~ N(0, I_d), z = k^(-1/2) Σ_{j∈S} x_j, y = He_p(z).

    He_p is the probabilists' Hermite polynomial, *not* normalised: E[y²] = p! (24 for p = 4).
    """

    name: ClassVar[str] = "single-index"

    dim: int = option(35, "input dimension d")
    sparsity: int = option(4, "relevant coordinates k")
    degree: int = option(4, "p of He_p")

    def __post_init__(self) -> None:
        store_plain(self)
        _check_support(self.dim, self.sparsity)
        check_integer("degree", self.degree, at_least=1, at_most=LARGEST_DEGREE)

    @property
    def second_moment(self) -> float:
        """E[y²] = p!."""
        return float(math.factorial(self.degree))

    def inputs(self, count: int, random: torch.Generator) -> Tensor:
        """Standard normal coordinates, shape (samples, dim)."""
        import torch

        return torch.randn(count, self.dim, generator=random, dtype=torch.float32, device="cpu")

    def target(self, inputs: Tensor) -> Tensor:
        """He_p(z) by the recursion He_{n+1} = z He_n - n He_{n-1}, shape (samples,)."""
        z = inputs[:, : self.sparsity].sum(dim=1) / math.sqrt(self.sparsity)
        previous, current = z**0, z
        for order in range(1, self.degree):
            previous, current = current, z * current - order * previous
        return current


#: The teachers that a configuration can name.
TEACHERS: dict[str, type[Teacher]] = {each.name: each for each in (SparseParity, SingleIndex)}


def name_of(teacher: Teacher) -> str:
    """Name in rows and keys: that of :data:`TEACHERS`, or else module and class."""
    kind = type(teacher)
    known = [name for name, each in TEACHERS.items() if each is kind]
    return known[0] if known else f"{kind.__module__}.{kind.__qualname__}"


def settings_of(teacher: Any) -> dict[str, object]:
    """The fields of a teacher that is not in :data:`TEACHERS`: they decide its data."""
    return {each.name: getattr(teacher, each.name) for each in fields(teacher)}


def check_teacher(teacher: Any) -> None:
    """Refuse an object that cannot be a teacher of a configuration.

    Raises
    ------
    ArgumentError
        If it lacks something, is no frozen data class of plain values, or has k outside [1, d].
    """
    wanted = ("dim", "sparsity", "second_moment", "inputs", "target")
    missing = [name for name in wanted if not hasattr(teacher, name)]
    kind = type(teacher).__name__
    if missing:
        raise ArgumentError(f"teacher must have {', '.join(missing)}, which {kind} lacks")
    parameters = getattr(type(teacher), "__dataclass_params__", None)
    if parameters is None or not parameters.frozen:
        raise ArgumentError(f"teacher must be a frozen data class, which {kind} is not")
    for name, value in settings_of(teacher).items():
        parts = value if isinstance(value, tuple) else (value,)
        if not all(each is None or isinstance(each, bool | int | float | str) for each in parts):
            raise ArgumentError(
                f"teacher must have fields that are numbers, texts or tuples of them, not {name} = "
                f"{shortened(value)}"
            )
    _check_support(teacher.dim, teacher.sparsity)
    check_real("second_moment", teacher.second_moment, above=0)


@dataclass(frozen=True)
class Dataset:
    """Inputs (samples, dim) and labels (samples,) on one device in one precision."""

    inputs: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return self.inputs.shape[0]


def make_dataset(
    teacher: Teacher,
    count: int,
    *,
    seed: int,
    stream: str = "data",
    dtype: torch.dtype | None = None,
    device: str | torch.device = "cpu",
) -> Dataset:
    """Draw a data set; the same (seed, stream) gives the same data on every device.

    Raises
    ------
    ArgumentError
        If ``count`` is below 1, ``seed`` is negative, or the teacher draws other shapes than it
        should or numbers that are not finite.
    """
    import torch

    from feature_learning.model.randomness import generator

    check_integer("count", count, at_least=1)
    dtype = torch.float32 if dtype is None else dtype
    inputs = teacher.inputs(count, generator(seed, stream))
    labels = teacher.target(inputs.double())
    for name, drawn, shape in (
        ("inputs", inputs, (count, teacher.dim)),
        ("target", labels, (count,)),
    ):
        if drawn.shape != shape:
            raise ArgumentError(
                f"{name} of {type(teacher).__name__} must return {shape}, not {tuple(drawn.shape)}"
            )
        if not bool(drawn.isfinite().all()):
            raise ArgumentError(f"{name} of {type(teacher).__name__} must return finite numbers")
    return Dataset(inputs.to(device, dtype), labels.to(device, dtype))
