"""Start the notebooks' kernels: which Python, with which settings, sockets and variables.

All of this is defined here. The user's own environment variables, kernels of the same name,
start-up files and folders for temporary files change no result.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from traitlets import default
from traitlets.config import Config

from book_tools.errors import BookError
from book_tools.folders import make
from book_tools.project import Project
from feature_learning.files import atomic

KERNEL_SETTINGS = """c = get_config()
# A kernel is interrupted before it is shut down, and sometimes reports that as an error.
c.IPKernelApp.log_level = "CRITICAL"
c.HistoryManager.enabled = False
"""
"""How IPython is set up in every kernel."""

LONGEST = 60
"""Longest name of a folder for sockets: the whole name may have 103 characters (macOS), and
Python's multiprocessing appends 32 to that of the folder."""
_SHORT = ("/tmp", "/var/tmp")

_DROPPED = ("COLUMNS", "IPY", "JUPYTER_", "LINES", "MATPLOTLIB", "MPL", "PLOTLY_", "PYTHON")
"""Prefixes of variables that change what a notebook computes, prints or draws."""
_KEPT = frozenset(
    # Installation and user folders of this Python, which does not start without them.
    {"PYTHONHOME", "PYTHONPLATLIBDIR", "PYTHONUSERBASE", "PYTHONNOUSERSITE"}
    | {"PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX"}
)


class OwnKernel(AsyncKernelManager):
    """The kernel of the running Python, regardless of installed kernels."""

    @default("kernel_spec_manager")
    def _only_the_native_one(self) -> KernelSpecManager:
        # Without kernel folders, "python3" is sys.executable -m ipykernel_launcher.
        return KernelSpecManager(kernel_dirs=[])


@contextmanager
def starting_kernels(project: Project) -> Iterator[dict[str, Any]]:
    """Yield the options for executing a notebook, with the environment set for it."""
    # Importing torch takes seconds, and most commands start no kernel.
    from feature_learning.sweeps.provenance import checked_out

    before = dict(os.environ)
    with tempfile.TemporaryDirectory(prefix="kernel-", dir=short_folder()) as sockets:
        ours = environment(project) | {"JUPYTER_RUNTIME_DIR": sockets}
        if (revision := checked_out(project.claims)) is not None:
            ours["BOOK_REVISION"] = revision  # selects the stored cells that are computed again
        # No open port during a run, and no warning of the kernel about one. By default the sockets
        # of two kernels would have the same names.
        transport = {"transport": "ipc", "ip": f"{sockets}/socket"}
        options = {
            "kernel_name": "python3",
            "kernel_manager_class": OwnKernel,
            "config": Config({"KernelManager": transport}),
        }
        try:
            _replace_environment(ours)
            yield options
        finally:
            _replace_environment(before)


def environment(project: Project) -> dict[str, str]:
    """Variables for programs that the build starts: the user's, except those that change results.

    These programs import the library whose fingerprint is taken.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in _KEPT or not name.startswith(_DROPPED)
    }
    ours = {
        "PYTHONPATH": str(project.library),
        # Files are read and written as UTF-8 in every locale.
        "PYTHONUTF8": "1",
        # Long notebooks keep their checkpoints here, so that an interrupted build can resume.
        "BOOK_CHECKPOINTS": str(make(project.build / "checkpoints")),
        # Figures go into the notebook.
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "MPLCONFIGDIR": str(make(project.build / "matplotlib")),
        "IPYTHONDIR": str(_ipython(project)),
        # Without it the debugger writes a warning about frozen modules into the first cell.
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    }
    _list_fonts(kept | ours)
    return kept | ours


def short_folder() -> str:
    """The folder for temporary files, or another one if its name is too long for sockets.

    Raises
    ------
    BookError
        Names the variable that sets the folder for temporary files.
    """
    asked = tempfile.gettempdir()
    for folder in (asked, *_SHORT):
        if len(os.fsencode(folder)) <= LONGEST and os.access(folder, os.W_OK | os.X_OK):
            return folder
    raise BookError(
        f"TMPDIR is {asked}: too long for the name of a socket, and nothing can be written to "
        f"{' or '.join(_SHORT)}; let TMPDIR name a folder of at most {LONGEST} characters"
    )


@contextmanager
def short_names() -> Iterator[None]:
    """Let Python put temporary files and multiprocessing sockets into :func:`short_folder`."""
    before = tempfile.tempdir
    tempfile.tempdir = short_folder()
    try:
        yield
    finally:
        tempfile.tempdir = before


def _replace_environment(variables: dict[str, str]) -> None:
    for name in os.environ.keys() - variables.keys():
        del os.environ[name]
    os.environ.update(variables)


def _list_fonts(variables: dict[str, str]) -> None:
    """Let matplotlib build its list of fonts, which would otherwise print into a cell."""
    if any(Path(variables["MPLCONFIGDIR"]).glob("fontlist*.json")):
        return
    subprocess.run(
        [sys.executable, "-c", "import matplotlib.font_manager"],
        env=variables,
        stderr=subprocess.DEVNULL,
        check=False,  # if matplotlib is missing, the notebook itself reports it
    )


def _ipython(project: Project) -> Path:
    """Folder with our own IPython settings, so that the user's start-up files have no effect."""
    folder = make(project.build / "ipython")
    settings = folder / "profile_default" / "ipython_kernel_config.py"
    if not settings.is_file() or settings.read_text("utf-8") != KERNEL_SETTINGS:
        atomic.write(settings, KERNEL_SETTINGS)
    return folder
