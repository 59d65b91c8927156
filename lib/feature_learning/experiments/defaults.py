"""What the calling program has set for its own computations plays no part in ours.

A stored number is found again by its configuration alone, so nothing else may decide it: neither
torch's default precision and device, nor how exactly it multiplies matrices, nor what NumPy does
with an overflow.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import numpy as np
import torch


@contextmanager
def library_defaults() -> Iterator[None]:
    """Compute with the library's settings, and put those of the caller back; also a decorator."""
    dtype, precision = torch.get_default_dtype(), torch.get_float32_matmul_precision()
    with ExitStack() as stack:
        stack.enter_context(np.errstate(divide="warn", over="warn", under="ignore", invalid="warn"))
        stack.enter_context(torch.autocast("cpu", enabled=False))
        if torch.get_default_device() != torch.device("cpu"):
            # Costs a little in every call of torch: only where it is needed.
            stack.enter_context(torch.device("cpu"))
        stack.callback(torch.set_default_dtype, dtype)
        stack.callback(torch.set_float32_matmul_precision, precision)
        torch.set_default_dtype(torch.float32)
        torch.set_float32_matmul_precision("highest")
        yield
