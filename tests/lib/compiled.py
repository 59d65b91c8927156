"""What tests of the compiled code share."""

import pytest

from feature_learning import native

#: That it is there wherever it can be is a test of its own, in test_native.py.
needs_compiled = pytest.mark.skipif(
    native.instructions() is None, reason="no C compiler at installation, or an unknown CPU"
)
