"""How a command ends that cannot go on: with a readable message instead of a traceback."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from feature_learning.errors import FeatureLearningError

_COLOUR_CODES = re.compile(r"\x1b\[[0-9;]*m")


class BookError(FeatureLearningError):
    """Something about the book's sources, or about what they computed, is wrong.

    The message is written for the reader of a terminal: it names the file, the value found and
    what would have been allowed. Further lines, such as what a cell raised, are details.
    """

    exit_code = 1


class InputError(BookError):
    """A command was asked for something that there is not, such as a figure that is not listed."""

    exit_code = 2


@contextmanager
def details_first() -> Iterator[None]:
    """Print the details of an error, so that the line that a program ends with names its cause."""
    try:
        yield
    except BookError as error:
        cause, *details = str(error).splitlines() or [""]
        if not details:
            raise
        print("\n".join(details), file=sys.stderr)
        raise type(error)(cause.removesuffix(":")) from error


def without_colours(text: str) -> str:
    """The text that another program wrote for a terminal, without its colours."""
    return _COLOUR_CODES.sub("", text)
