r"""Loading of the shared library with the compiled code, if this machine has it."""

from __future__ import annotations

import ctypes
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

_POINTER, _FLOAT, _LONG = ctypes.c_void_p, ctypes.c_float, ctypes.c_long


@cache
def load() -> ctypes.CDLL | None:
    """The shared library, if it was built and supports this processor; otherwise None."""
    folder = Path(__file__).parent.parent
    for path in (folder / f"_native{suffix}" for suffix in EXTENSION_SUFFIXES):
        if not path.exists():
            continue
        try:
            library = ctypes.CDLL(str(path))
        except OSError:  # built for another system
            continue
        library.relu_instructions.restype = ctypes.c_char_p
        library.relu_work.restype = _LONG
        library.relu_work.argtypes = [_LONG] * 3 + [ctypes.c_int]
        library.relu_chain.restype = None
        library.relu_chain.argtypes = [_POINTER] * 6 + [_FLOAT] * 3 + [_LONG] * 4 + [_POINTER] * 5
        library.normal_fill.restype = None
        library.normal_fill.argtypes = [_POINTER, _LONG, ctypes.c_uint64]
        return library if library.relu_instructions() else None
    return None


def instructions() -> str | None:
    """Instruction set of the compiled code here (AVX-512, AVX2 or NEON); None without the code."""
    library = load()
    return None if library is None else library.relu_instructions().decode()
