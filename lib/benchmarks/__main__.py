"""``python -m benchmarks``."""

from feature_learning.cli.ending import leave, loading

with loading("benchmarks"):
    from benchmarks.cli import main

if __name__ == "__main__":
    leave(main())
