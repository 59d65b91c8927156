"""The device on which a point is computed, and its precision."""

from __future__ import annotations

from dataclasses import dataclass

from feature_learning.choices import DTYPES, option
from feature_learning.errors import check_choice, check_integer, store_plain


@dataclass(frozen=True)
class Machine:
    """Device, precision and memory bound of a point.

    Attributes
    ----------
    device : str
        ``cpu``, ``cuda`` or ``cuda:N``.
    dtype : str
        ``float32`` or ``float64``.
    tile_elements : int or None
        Memory bound: chains x neurons x training samples in a tile. None takes the default.
    """

    dtype: str = option("float32", "precision", allowed=DTYPES)
    device: str = option("cpu", "cpu, cuda or cuda:N")
    tile_elements: int | None = option(
        None,
        "memory bound: chains * neurons * training samples in a tile (2^18 on a CPU)",
        metavar="E",
        keyed_as="block_elements",
    )

    def __post_init__(self) -> None:
        store_plain(self)
        check_choice("dtype", self.dtype, DTYPES)
        if self.tile_elements is not None:
            check_integer("tile_elements", self.tile_elements, at_least=1)
