"""The program ``feature-learning`` until its library is loaded, which takes a second or two.

Most of that is torch. Ctrl-C finds nothing worth saving then, and a KeyboardInterrupt could end
anywhere: in a traceback, or swallowed by an extension that is just being initialised. So the
process leaves from within the signal's handler. This module stands outside of the package, whose
import already loads everything, and imports nothing that takes time.
"""

import os
import signal
import sys
from types import FrameType

_LINE = "feature-learning: interrupted before anything was computed\n"
#: As shells have it for a program that Ctrl-C has ended.
INTERRUPTED = 130
#: As shells have it for a program that writes to a closed pipe.
PIPE_CLOSED = 141


def main() -> int:
    """Load the library and run the command; returns its exit code."""
    # Where the signal is ignored, as in the background of a shell, it stays so.
    ours = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if ours:
        signal.signal(signal.SIGINT, _leave)
    from feature_learning.cli import main as run

    try:
        if ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        code = run()
        # Here and not at the end of the process, where nobody could handle it.
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # as in "... | head -1": who reads has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED
    except KeyboardInterrupt:  # between the lines above and those that the command watches over
        sys.stderr.write(_LINE)
        return INTERRUPTED


def _leave(number: int, frame: FrameType | None) -> None:
    """End the process at once; only what needs no lock and no flush."""
    os.write(2, _LINE.encode())
    os._exit(INTERRUPTED)


if __name__ == "__main__":
    sys.exit(main())
