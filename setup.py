"""The compiled kernel; everything else stands in pyproject.toml.

It is optional: without a C compiler the package installs all the same and computes with torch.
"""

from setuptools import Extension, setup

setup(
    ext_modules=[
        Extension(
            "feature_learning._relu",
            sources=["lib/feature_learning/native/relu.c"],
            depends=["lib/feature_learning/native/tile.h"],
            # The instruction set is chosen when the program runs, not here.
            extra_compile_args=["-O3", "-std=gnu11", "-ffp-contract=fast"],
            optional=True,
        )
    ]
)
