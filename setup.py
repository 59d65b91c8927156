"""The compiled code; everything else stands in pyproject.toml.

It is optional: without a C compiler the package installs all the same and computes with torch.
"""

from pathlib import Path

from setuptools import Extension, setup

NATIVE = Path("lib/feature_learning/native")

setup(
    ext_modules=[
        Extension(
            "feature_learning._native",
            sources=[str(path) for path in sorted(NATIVE.glob("*.c"))],
            depends=[str(path) for path in sorted(NATIVE.glob("*.h"))],
            # The instruction set is chosen when the program runs, not here.
            extra_compile_args=["-O3", "-std=gnu11", "-ffp-contract=fast"],
            optional=True,
        )
    ]
)
