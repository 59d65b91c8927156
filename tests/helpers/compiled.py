"""Shared helpers of the tests of the compiled code."""

import os

import pytest

from feature_learning import native

#: The package works without, so its tests do too; as with the browser, not where CI is set. That it
#: is there wherever it can be is a test of its own, in test_native.py.
needs_compiled = pytest.mark.skipif(
    native.instructions() is None and not os.environ.get("CI"),
    reason="no C compiler at installation, or an unknown CPU",
)
