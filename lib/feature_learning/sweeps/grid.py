"""The file of a sweep: read a short TOML file and return a list of configurations.

An example::

    [defaults]
    kappa = 0.005
    chains = { value = 4, reason = "the fewest for which R-hat counts" }

    [[block]]
    name = "main"
    reason = "The learning curve of Figure 1."
    method = ["network", "mf-ard"]
    n_train = [100, 300, 1000, 3000]
    seed = [0, 1, 2]

    [[block.override]]
    when = { method = "network", n_train = ">=1000" }
    reason = "Near the transition the chains need longer."
    langevin_time = 6000

Keys are the options of :func:`~feature_learning.experiments.flat.configure`. A key that is left
out, or has the value ``"default"``, has its default. The lists of a block are crossed: every
combination is a cell. An override replaces values in the cells that meet all of its conditions.
Conditions are tested on the values before any override, and later overrides win. A condition is a
value, a list of values, or bounds as in ``">=100, <1000"``. Any value can be written ``{ value =
..., reason = "..." }``; blocks and overrides must have a reason.
"""

from __future__ import annotations

import itertools
import math
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from feature_learning.errors import FeatureLearningError, GridError
from feature_learning.experiments.config import PointConfig
from feature_learning.experiments.flat import absent, composed, replaced, without_effect
from feature_learning.experiments.hardware import device_parts
from feature_learning.experiments.keys import cell_key
from feature_learning.sweeps import entries

#: Largest number of cells; more are taken for a mistake in a list.
MAX_CELLS = 100_000
#: Largest size of a sweep file in bytes.
MAX_BYTES = 2**24


@dataclass(frozen=True)
class GridCell:
    """A configuration and the names of the blocks that list it."""

    config: PointConfig
    blocks: tuple[str, ...]


@dataclass(frozen=True)
class Grid:
    """The content of a sweep file.

    Attributes
    ----------
    name : str
        Name of the file.
    text : str
        Its text, with the reasons.
    cells : tuple of GridCell
        Each configuration once, in the order of the file.
    """

    name: str
    text: str
    cells: tuple[GridCell, ...]

    @property
    def blocks(self) -> list[str]:
        """Names of the blocks, in order."""
        return list(dict.fromkeys(name for cell in self.cells for name in cell.blocks))

    def select(self, blocks: Sequence[str]) -> Grid:
        """A grid with only the cells of these blocks.

        Raises
        ------
        GridError
            If one of the blocks does not exist.
        """
        for name in blocks:
            if name not in self.blocks:
                raise GridError(
                    f"{self.name}: there is no block {name!r}, only {', '.join(self.blocks)}"
                )
        chosen = (cell for cell in self.cells if set(cell.blocks) & set(blocks))
        return replace(self, cells=tuple(chosen))

    def on(self, device: str) -> Grid:
        """A grid with the same cells on another device.

        Raises
        ------
        ArgumentError
            If the name of the device is invalid.
        """
        device_parts(device)
        return replace(
            self,
            cells=_merged(
                (replaced(cell.config, device=device), cell.blocks) for cell in self.cells
            ),
        )


def read_grid(path: Path | str) -> Grid:
    """Read and check the file of a sweep.

    Raises
    ------
    GridError
        Names the file, the block and the key.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:  # may be a pipe, or a device without end
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise ValueError(f"it is larger than {MAX_BYTES >> 20} MiB")
        text = content.decode("utf-8-sig")  # some editors write a byte-order mark
        document = tomllib.loads(text)
    except OSError as error:
        raise GridError(f"{path} cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise GridError(f"{path} is not TOML: {error}") from error
    try:
        return Grid(path.name, text, _merged(_cells(document)))
    except GridError as error:
        raise GridError(f"{path}: {error}") from error


def _merged(cells: Iterator[tuple[PointConfig, tuple[str, ...]]]) -> tuple[GridCell, ...]:
    """Each cell once, with all of its blocks."""
    found: dict[str, GridCell] = {}
    for config, blocks in cells:
        known = found.setdefault(cell_key(config), GridCell(config, ()))
        names = dict.fromkeys((*known.blocks, *blocks))
        found[cell_key(config)] = replace(known, blocks=tuple(names))
    return tuple(found.values())


def _cells(document: Mapping[str, Any]) -> Iterator[tuple[PointConfig, tuple[str, ...]]]:
    unknown = document.keys() - {"defaults", "block"}
    if unknown:
        raise GridError(f"unknown table {min(unknown)!r}; the tables are defaults and block")
    defaults = entries.table(document.get("defaults", {}), "defaults")
    common = {name: entries.scalar(name, each, "defaults") for name, each in defaults.items()}
    blocks = document.get("block")
    if not isinstance(blocks, list) or not blocks:
        raise GridError("there must be at least one [[block]]")
    names: list[str] = []
    count = 0
    for number, block in enumerate(blocks, start=1):
        name = block.get("name") if isinstance(block, dict) else None
        if not isinstance(name, str) or not name.strip() or ";" in name:
            raise GridError(f"block {number}: name must be a text without semicolon, not {name!r}")
        if name in names:
            raise GridError(f"block {name!r}: there are two blocks of this name")
        names.append(name)
        cells = _block(block, common, f"block {name!r}")
        count += len(cells)
        if count > MAX_CELLS:
            raise GridError(f"block {name!r}: more than {MAX_CELLS} cells in the file")
        for config in cells:
            yield config, (name,)


def _block(block: Mapping[str, Any], common: Mapping[str, Any], where: str) -> list[PointConfig]:
    """All cells of a block."""
    entries.reason(block, where)
    lists: dict[str, list[Any]] = {name: [value] for name, value in common.items()}
    for name, value in block.items():
        if name in ("name", "reason", "override"):
            continue
        values = entries.plain(name, value, where)
        if isinstance(values, list):
            if not values:
                raise GridError(f"{where}: {name} is an empty list")
            lists[name] = [entries.scalar(name, each, where) for each in values]
        else:
            lists[name] = [entries.scalar(name, values, where)]
    if math.prod(len(values) for values in lists.values()) > MAX_CELLS:
        raise GridError(f"{where}: the lists make more than {MAX_CELLS} cells")
    varied = [name for name, values in lists.items() if len(values) > 1]
    plain = [dict(zip(lists, values, strict=True)) for values in itertools.product(*lists.values())]
    final = [dict(values) for values in plain]
    changes: list[dict[str, Any]] = []
    overrides = block.get("override", [])
    if not isinstance(overrides, list):
        raise GridError(f"{where}: override must be written [[block.override]]")
    for number, override in enumerate(overrides, start=1):
        here = f"{where}, override {number}"
        applies, change = _override(override, here)
        met = [
            index for index, values in enumerate(plain) if applies(absent() | entries.said(values))
        ]
        if not met:
            raise GridError(f"{here}: the condition when is true for no cell of the block")
        changes.append(change)
        for index in met:
            final[index] |= change
    configs: dict[str, str] = {}
    made: list[PointConfig] = []
    # An option of all cells may be without effect in some; without effect in all is a mistake.
    idle = set(lists) - set(common) | set().union(*(change for change in changes))
    for values, before in zip(final, plain, strict=True):
        cell = ", ".join(f"{name}={before[name]}" for name in varied) or "its only cell"
        try:
            config, without = composed(entries.said(values))
            device_parts(config.machine.device)
        except FeatureLearningError as error:
            raise GridError(f"{where}, {cell}: {error}") from error
        idle &= without
        twin = configs.setdefault(cell_key(config), cell)
        if len(configs) == len(made):
            raise GridError(f"{where}: {cell} is the same cell as {twin}")
        made.append(config)
    if idle:
        raise GridError(f"{where}: {without_effect(min(idle), entries.said(final[0]))}")
    return made


def _override(
    override: Any, where: str
) -> tuple[Callable[[Mapping[str, Any]], bool], dict[str, Any]]:
    """The condition of an override, and the values it sets."""
    if not isinstance(override, dict):
        raise GridError(f"{where}: an override must be a table, not {override!r}")
    entries.reason(override, where)
    when = override.get("when")
    if not isinstance(when, dict) or not when:
        raise GridError(f"{where}: when must be a table of conditions, not {when!r}")
    conditions = {
        name: entries.condition(name, value, f"{where}, when") for name, value in when.items()
    }
    change = {
        name: entries.scalar(name, value, where)
        for name, value in override.items()
        if name not in ("when", "reason")
    }
    if not change:
        raise GridError(f"{where}: it sets nothing")

    def applies(values: Mapping[str, Any]) -> bool:
        return all(condition(values[name]) for name, condition in conditions.items())

    return applies, change
