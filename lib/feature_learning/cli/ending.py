"""How the programs end: with one line that names the cause, and an exit code that says the kind.

0 done; 1 something of what was asked for failed; 2 bad input, or a file, stream or memory that
cannot be had; 128 + n after signal n; 141 when nobody reads on. A traceback means a fault of ours.
"""

from __future__ import annotations

import codecs
import fcntl
import io
import os
import signal
import sys
import threading
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

from feature_learning.errors import FeatureLearningError, OutputError
from feature_learning.inference.interruption import (
    SIGNALLED,
    SIGNALS,
    exit_code,
    handling,
    raise_interrupt,
)

#: Of a program whose output nobody reads any more, as shells have it.
PIPE_CLOSED = 141
_BAD = 2


def run_program(name: str, body: Callable[[], int]) -> int:
    """Run a program's ``body``, and return its exit code whatever happens in it.

    Parameters
    ----------
    name : str
        Of the program, in front of what it says.
    body : callable
        Returns its exit code. What it prints may hold any letter, whatever the terminal knows, and
        any standard stream may be closed.
    """
    _prepare_streams()
    # What follows a signal is not for the next one to break off.
    with handling(_ignore):
        return _run(name, body)


def _run(name: str, body: Callable[[], int]) -> int:
    try:
        with handling(raise_interrupt):
            try:
                return body()
            finally:
                # Here and not at the end of the process, where nobody could handle it.
                _flush()
    except BrokenPipeError:  # as in "... | head -1": who reads has had enough
        _drop_output()
        return PIPE_CLOSED
    except KeyboardInterrupt:
        say(name, _interrupted())
        return exit_code()
    except FeatureLearningError as error:
        return complain(name, str(error), error.exit_code)
    except OSError as error:
        return complain(name, _cause(error))
    except (MemoryError, RuntimeError) as error:
        if not _memory_ran_out(error):
            raise
        what = str(error).partition("\n")[0] if "OutOfMemory" in type(error).__name__ else ""
        advice = "use fewer samples, chains or neurons"
        return complain(name, f"out of memory: {what or advice}")


def leave(code: int) -> NoReturn:
    """Exit with a code that no signal changes any more while Python takes itself apart."""
    if threading.current_thread() is threading.main_thread():
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)
    sys.exit(code)


def _ignore(number: int, frame: FrameType | None) -> None:
    """The handler of a program that is about to end."""


def check_output() -> None:
    """Refuse before hours of work that standard output is closed, if the result goes there.

    Raises
    ------
    OutputError
    """
    try:
        mode = fcntl.fcntl(sys.stdout.fileno(), fcntl.F_GETFL)
    except (OSError, ValueError):
        return  # no file of the system, as in a notebook
    if mode & os.O_ACCMODE == os.O_RDONLY:
        raise OutputError("standard output is closed, and the result goes there")


def answer(text: str) -> None:
    """Print a result on standard output, now.

    Raises
    ------
    OutputError
        If it cannot be written, as on a full disk.
    """
    try:
        print(text)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise _unwritten(error) from error
    _flush()


def complain(name: str, sentence: str, code: int = _BAD) -> int:
    """One line on standard error about what is wrong; returns the exit code."""
    say(name, f"error: {sentence}")
    return code


def say(name: str, text: str) -> None:
    """One line on standard error, with the name of the program in front."""
    tell(f"{name}: {text}")


def tell(text: str) -> None:
    """One line on standard error."""
    print(" ".join(text.split()), file=sys.stderr, flush=True)


@contextmanager
def loading(name: str) -> Iterator[None]:
    """End at once on a signal: for the second or two in which libraries are imported.

    Nothing is worth saving yet, and a KeyboardInterrupt could end anywhere: in a traceback, or
    swallowed by an extension that is just being initialised.
    """

    def leave(number: int, frame: FrameType | None) -> None:
        # Only what needs no lock and no flush.
        os.write(2, f"{name}: interrupted before anything was computed\n".encode())
        os._exit(SIGNALLED + number)

    with handling(leave):
        yield


def _interrupted() -> str:
    number = exit_code() - SIGNALLED
    by = "" if number == signal.SIGINT else f" by {signal.Signals(number).name}"
    return f"interrupted{by}; what was finished is kept"


def _cause(error: OSError) -> str:
    """What cannot be used, and why, in the words of the system."""
    reason = error.strerror or str(error) or type(error).__name__
    return f"cannot use {error.filename}: {reason}" if error.filename else reason


def _memory_ran_out(error: Exception) -> bool:
    """Whether it is one of the ways in which Python, torch or CUDA say so."""
    # torch raises a plain RuntimeError when the CPU's memory runs out.
    known = "OutOfMemoryError", "can't allocate memory"
    return isinstance(error, MemoryError) or any(
        each in f"{type(error).__name__}: {error}" for each in known
    )


class _Patient(io.TextIOWrapper):
    """Standard error: what cannot be written there, as on a full disk, is no reason to end.

    Only a reader who has had enough is: that is a closed pipe.
    """

    def write(self, text: str) -> int:
        try:
            return super().write(text)
        except BrokenPipeError:
            raise
        except OSError:
            _drop(2)
            return len(text)

    def flush(self) -> None:
        try:
            super().flush()
        except BrokenPipeError:
            raise
        except OSError:
            _drop(2)


def _prepare_streams() -> None:
    """Streams that are there and take every letter; closed ones are opened on nothing."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # The next file that is opened would get the number, and the text of a library with it.
            # Read-only, so that what is written to standard output is not lost without a word.
            mode = os.O_WRONLY if number == 2 else os.O_RDONLY
            os.set_inheritable(os.open(os.devnull, mode), True)  # as streams are
    codecs.register_error("plain", _plainly)
    stderr = sys.stderr
    if isinstance(stderr, io.TextIOWrapper) and stderr is sys.__stderr__:
        sys.stderr = _Patient(stderr.buffer, encoding=stderr.encoding, line_buffering=True)
    for name, number in (("stdout", 1), ("stderr", 2)):
        stream = getattr(sys, name)
        if stream is None:
            stream = os.fdopen(number, "w", encoding="utf-8", closefd=False)
            setattr(sys, name, stream)
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="plain")


def _plainly(error: UnicodeError) -> tuple[str, int]:
    """What an encoding cannot write, in letters that it can: kappa for κ."""
    if isinstance(error, UnicodeDecodeError):  # who captures a stream may read it, too
        return "\ufffd", error.end
    assert isinstance(error, UnicodeEncodeError)
    return "".join(_ascii(each) for each in error.object[error.start : error.end]), error.end


def _ascii(letter: str) -> str:
    name = unicodedata.name(letter, "")
    if name.startswith("GREEK"):
        word = name.rpartition(" ")[2].lower()
        return word.capitalize() if "CAPITAL" in name else word
    return unicodedata.normalize("NFKD", letter).encode("ascii", "ignore").decode() or "?"


def _flush() -> None:
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise _unwritten(error) from error


def _unwritten(error: OSError) -> OutputError:
    _drop_output()
    return OutputError(f"standard output cannot be written: {error.strerror}")


def _drop_output() -> None:
    _drop(1)


def _drop(number: int) -> None:
    """Let nobody try to write again to a stream what could not be written."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, number)
    os.close(null)
