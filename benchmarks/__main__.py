"""``python -m benchmarks``."""

import sys

from feature_learning.ending import loading

with loading("benchmarks"):
    from benchmarks.cli import main

if __name__ == "__main__":
    sys.exit(main())
