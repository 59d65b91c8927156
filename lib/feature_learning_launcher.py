"""The program ``feature-learning`` until its package is imported.

A signal that comes then finds nothing worth saving, and a KeyboardInterrupt would end in a
traceback. So the process leaves from within the signal's handler. This module stands outside of the
package and imports nothing that takes time; everything after it is the matter of
:mod:`feature_learning.cli.ending`.
"""

import os
import signal
from types import FrameType

_LINE = b"feature-learning: interrupted before anything was computed\n"


def main() -> None:
    """Import the command line, run it, and leave with its exit code."""
    names = ("SIGINT", "SIGTERM", "SIGHUP")
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in numbers}
    # Where a signal is ignored, as in the background of a shell or by nohup, it stays so.
    ours = [number for number, known in before.items() if known != signal.SIG_IGN]
    for number in ours:
        signal.signal(number, _leave)
    from feature_learning.cli.ending import leave
    from feature_learning.cli.main import main as run

    for number in ours:
        signal.signal(number, before[number])
    leave(run())


def _leave(number: int, frame: FrameType | None) -> None:
    """End the process at once; only what needs no lock and no flush."""
    os.write(2, _LINE)
    os._exit(128 + number)


if __name__ == "__main__":
    main()
