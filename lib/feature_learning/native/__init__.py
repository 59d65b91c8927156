r"""Compiled code for CPUs, and torch where there is none.

It is built if a C compiler is there at installation, and runs on processors with AVX-512, AVX2 or
NEON: the field and the gradients of a ReLU network (:mod:`feature_learning.native.relu`) and normal
numbers (:mod:`feature_learning.native.normal`), both in single precision.
"""

from feature_learning.native.library import instructions
from feature_learning.native.relu import ReluKernel

__all__ = ["ReluKernel", "instructions"]
