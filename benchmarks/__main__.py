"""``python -m benchmarks``."""

from benchmarks.cli import main
from feature_learning.ending import leave

if __name__ == "__main__":
    leave(main())
