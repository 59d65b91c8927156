"""Isolate the library's computations from global settings of the calling program.

A stored number is identified by its configuration alone, so that nothing else may affect it:
neither torch's default precision and device, nor the precision of its matrix products, nor NumPy's
reaction to an overflow.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import numpy as np
import torch


@contextmanager
def library_defaults() -> Iterator[None]:
    """Use the library's settings, then restore those of the caller; also a decorator."""
    dtype, precision = torch.get_default_dtype(), torch.get_float32_matmul_precision()
    with ExitStack() as stack:
        stack.enter_context(np.errstate(divide="warn", over="warn", under="ignore", invalid="warn"))
        stack.enter_context(torch.autocast("cpu", enabled=False))
        if torch.get_default_device() != torch.device("cpu"):
            # Slows every call of torch a little, so only if needed.
            stack.enter_context(torch.device("cpu"))
        stack.callback(torch.set_default_dtype, dtype)
        stack.callback(torch.set_float32_matmul_precision, precision)
        torch.set_default_dtype(torch.float32)
        torch.set_float32_matmul_precision("highest")
        yield
