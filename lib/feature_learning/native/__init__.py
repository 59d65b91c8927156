r"""Compiled code for CPUs; torch is used if it is not available.

The code is built if a C compiler is present at installation, and runs on processors with AVX-512,
AVX2 or NEON. It computes the forward pass and the gradients of a ReLU network
(:mod:`feature_learning.native.relu`) and normal random numbers
(:mod:`feature_learning.native.normal`), both in single precision.
"""

from feature_learning.native.library import instructions
from feature_learning.native.relu import ReluKernel

__all__ = ["ReluKernel", "instructions"]
