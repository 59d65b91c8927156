"""How the programs end: one line that names the cause, and an exit code for the kind of cause.

0 done; 1 part of the work failed; 2 bad input, or a file, a stream or memory is not available;
128 + n after signal n; 141 after the reader of standard output has closed it. A traceback is a bug
in this library.
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

#: Exit code after the reader of standard output has closed it (128 + SIGPIPE, as in shells).
PIPE_CLOSED = 141
_BAD = 2


def run_program(name: str, body: Callable[[], int]) -> int:
    """Run a program's ``body`` and return an exit code, whatever happens in it.

    Parameters
    ----------
    name : str
        Name of the program, printed before each message.
    body : callable
        Returns its exit code. It may print characters that the terminal cannot show, and any
        standard stream may be closed.
    """
    _prepare_streams()
    # A second signal must not interrupt the handling of the first.
    with handling(_ignore):
        return _run(name, body)


def _run(name: str, body: Callable[[], int]) -> int:
    try:
        with handling(raise_interrupt):
            try:
                return body()
            finally:
                # Flush here: at the end of the process an error could no longer be handled.
                _flush()
    except BrokenPipeError:  # as in "... | head -1": the reader has closed the pipe
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
        advice = "use fewer training samples, chains or neurons"
        return complain(name, f"out of memory: {what or advice}")


def leave(code: int) -> NoReturn:
    """Exit with a code that no signal can change while the interpreter shuts down."""
    if threading.current_thread() is threading.main_thread():
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)
    sys.exit(code)


def _ignore(number: int, frame: FrameType | None) -> None:
    """Signal handler of a program that is about to end: do nothing."""


def check_output() -> None:
    """Fail before hours of work if standard output, where the result goes, is closed.

    Raises
    ------
    OutputError
    """
    try:
        mode = fcntl.fcntl(sys.stdout.fileno(), fcntl.F_GETFL)
    except (OSError, ValueError):
        return  # not backed by a file descriptor, as in a notebook
    if mode & os.O_ACCMODE == os.O_RDONLY:
        raise OutputError("standard output is closed, and the result goes there")


def answer(text: str) -> None:
    """Print a result on standard output and flush it.

    Raises
    ------
    OutputError
        If it cannot be written, for example because the disk is full.
    """
    try:
        print(text)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise _unwritten(error) from error
    _flush()


def complain(name: str, sentence: str, code: int = _BAD) -> int:
    """Print an error as one line on standard error; returns the exit code."""
    say(name, f"error: {sentence}")
    return code


def say(name: str, text: str) -> None:
    """Print one line on standard error, preceded by the name of the program."""
    tell(f"{name}: {text}")


def tell(text: str) -> None:
    """Print one line on standard error."""
    print(" ".join(text.split()), file=sys.stderr, flush=True)


@contextmanager
def loading(name: str) -> Iterator[None]:
    """End at once on a signal while libraries are imported, which takes a second or two.

    There is nothing to save yet, and a KeyboardInterrupt could end in a traceback or be swallowed
    by an extension module that is being initialised.
    """

    def leave(number: int, frame: FrameType | None) -> None:
        # Only calls that need no lock and no flush are safe here.
        os.write(2, f"{name}: interrupted before anything was computed\n".encode())
        os._exit(SIGNALLED + number)

    with handling(leave):
        yield


def _interrupted() -> str:
    number = exit_code() - SIGNALLED
    by = "" if number == signal.SIGINT else f" by {signal.Signals(number).name}"
    return f"interrupted{by}; what was finished is kept"


def _cause(error: OSError) -> str:
    """The file that cannot be used, if any, and the reason given by the operating system."""
    reason = error.strerror or str(error) or type(error).__name__
    return f"cannot use {error.filename}: {reason}" if error.filename else reason


def _memory_ran_out(error: Exception) -> bool:
    """Whether the error is how Python, torch or CUDA report that memory ran out."""
    # torch raises a plain RuntimeError when the CPU's memory runs out.
    known = "OutOfMemoryError", "can't allocate memory"
    return isinstance(error, MemoryError) or any(
        each in f"{type(error).__name__}: {error}" for each in known
    )


class _Patient(io.TextIOWrapper):
    """Standard error that ignores failed writes, as on a full disk, so that the program goes on.

    A closed pipe still ends the program.
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
    """Make the standard streams accept every character; open closed ones on the null device."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # Otherwise the next file to be opened would get this number, and a library's messages.
            # Read-only, so that writing to standard output fails instead of losing the result.
            mode = os.O_WRONLY if number == 2 else os.O_RDONLY
            os.set_inheritable(os.open(os.devnull, mode), True)  # as standard streams are
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
    """Replace characters that an encoding lacks by plain letters: kappa for κ."""
    if isinstance(error, UnicodeDecodeError):  # a captured stream may also be read
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
    """Redirect a stream to the null device, so that a failed write is not tried again."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, number)
    os.close(null)
