"""Errors that end a command with a readable message instead of a traceback."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from feature_learning.errors import FeatureLearningError

_COLOUR_CODES = re.compile(r"\x1b\[[0-9;]*m")


class BookError(FeatureLearningError):
    """A fault in the book's sources or in what they computed.

    The message is meant for a terminal: it names the file, the value found and the values allowed.
    Further lines, such as the error of a cell, are details.
    """

    exit_code = 1


class InputError(BookError):
    """An argument of a command names something unknown, such as a figure that is not listed."""

    exit_code = 2


@contextmanager
def details_first() -> Iterator[None]:
    """Print the details of an error first, so that the last line of a program names the cause."""
    try:
        yield
    except BookError as error:
        cause, *details = str(error).splitlines() or [""]
        if not details:
            raise
        print("\n".join(details), file=sys.stderr)
        raise type(error)(cause.removesuffix(":")) from error


def without_colours(text: str) -> str:
    """The terminal output of another program, without its colours."""
    return _COLOUR_CODES.sub("", text)
