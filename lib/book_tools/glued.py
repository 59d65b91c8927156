"""The values that a notebook glued, read back from its outputs.

``myst_nb.glue`` stores the text of a value's ``repr`` instead of the value, either under
``text/plain`` or, if it is not displayed, under a prefixed type.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

from book_tools.errors import BookError
from book_tools.notebooks import read_executed

Value = bool | int | float | str

_SECTION = re.compile(r"^## (?:(?P<number>\d+)\.)?", re.MULTILINE)

# NumPy 2 writes a scalar together with its type: np.float64(0.72).
_NUMPY_SCALAR = re.compile(r"np\.(?:float|int|uint|bool|str)\w*\((.*)\)", re.DOTALL)


def glued_values(executed: Path) -> dict[str, Value]:
    """The glued numbers, truth values and texts of an executed notebook, by name.

    Figures and tables can be glued as well; they are left out.

    Raises
    ------
    BookError
        If a name is glued twice.
    """
    values: dict[str, Value] = {}
    seen: set[str] = set()
    for cell in read_executed(executed).cells:
        for output in cell.get("outputs", []):
            record = output.get("metadata", {}).get("scrapbook")
            if record is None:
                continue
            name = record["name"]
            if name in seen:
                raise BookError(f"{executed.name}: the name {name!r} is glued twice")
            seen.add(name)
            text = output["data"].get(record.get("mime_prefix", "") + "text/plain")
            value = None if text is None else parse_value(text)
            if value is not None:
                values[name] = value
    return values


def glued_sections(executed: Path) -> dict[str, str]:
    """The numbers of the sections in which an executed notebook glues, by name.

    The heading ``## 3. A stopping rule`` has the number 3; names that are glued in a section
    without a number are left out.
    """
    sections: dict[str, str] = {}
    number = ""
    for cell in read_executed(executed).cells:
        if cell.cell_type == "markdown":
            for heading in _SECTION.finditer(cell.source):
                number = heading["number"] or ""
        for output in cell.get("outputs", []):
            record = output.get("metadata", {}).get("scrapbook")
            if record is not None and number:
                sections[record["name"]] = number
    return sections


def parse_value(text: str) -> Value | None:
    """The number, truth value or text whose ``repr`` is given; ``None`` for anything else."""
    text = text.strip()
    if scalar := _NUMPY_SCALAR.fullmatch(text):
        text = scalar[1]
    if text.lstrip("-") in ("nan", "inf"):
        return float(text)
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return None
    return value if isinstance(value, Value) else None
