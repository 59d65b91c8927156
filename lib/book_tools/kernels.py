"""How the notebooks' kernels are started: which Python, with which settings, sockets and variables.

All of it is decided here. What the user has set up for programs of their own, by variables, kernels
of the same name, start-up files or another place for temporary files, changes no result.
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
"""Characters of a folder for sockets: the whole name may have 103 (macOS), and what Python's
multiprocessing puts behind the folder has 32."""
_SHORT = ("/tmp", "/var/tmp")

_DROPPED = ("COLUMNS", "IPY", "JUPYTER_", "LINES", "MATPLOTLIB", "MPL", "PLOTLY_", "PYTHON")
"""How the names of variables begin that change what a notebook computes, prints or draws."""
_KEPT = frozenset(
    # Where this Python is installed, and where it may write: it would not start otherwise.
    {"PYTHONHOME", "PYTHONPLATLIBDIR", "PYTHONUSERBASE", "PYTHONNOUSERSITE"}
    | {"PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX"}
)


class OwnKernel(AsyncKernelManager):
    """The kernel of the Python that runs this, whatever kernels are installed."""

    @default("kernel_spec_manager")
    def _only_the_native_one(self) -> KernelSpecManager:
        # Without folders to look into, "python3" is sys.executable -m ipykernel_launcher.
        return KernelSpecManager(kernel_dirs=[])


@contextmanager
def starting_kernels(project: Project) -> Iterator[dict[str, Any]]:
    """Give the options with which a notebook is executed inside; the variables are ours there."""
    before = dict(os.environ)
    with tempfile.TemporaryDirectory(prefix="kernel-", dir=short_folder()) as sockets:
        ours = environment(project) | {"JUPYTER_RUNTIME_DIR": sockets}
        # No open port for the time of a run, and no warning of the kernel about one. The sockets of
        # two kernels would by default have the same names.
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
    """The variables of a program that the build starts: the user's, but for what changes results.

    It imports the library whose fingerprint is taken.
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
        # Long notebooks keep their points here, so that a build that was stopped goes on.
        "BOOK_CHECKPOINTS": str(make(project.build / "checkpoints")),
        # Pictures go into the notebook.
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "MPLCONFIGDIR": str(make(project.build / "matplotlib")),
        "IPYTHONDIR": str(_ipython(project)),
        # Without it the debugger writes a warning about frozen modules into the first cell.
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    }
    _list_fonts(kept | ours)
    return kept | ours


def short_folder() -> str:
    """The folder for temporary files, or another one if no socket could have a name in it.

    Raises
    ------
    BookError
        Naming the variable that says where temporary files go.
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
    """Let Python put temporary files, sockets of multiprocessing too, into :func:`short_folder`."""
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
    """Let matplotlib list the fonts: while it does, it would write into a cell."""
    if any(Path(variables["MPLCONFIGDIR"]).glob("fontlist*.json")):
        return
    subprocess.run(
        [sys.executable, "-c", "import matplotlib.font_manager"],
        env=variables,
        stderr=subprocess.DEVNULL,
        check=False,  # without matplotlib the notebook itself says what is missing
    )


def _ipython(project: Project) -> Path:
    """Folder with settings of our own for IPython: start-up files of the user change no result."""
    folder = make(project.build / "ipython")
    settings = folder / "profile_default" / "ipython_kernel_config.py"
    if not settings.is_file() or settings.read_text("utf-8") != KERNEL_SETTINGS:
        atomic.write(settings, KERNEL_SETTINGS)
    return folder
