"""``python -m feature_learning``: the same as the program ``feature-learning``."""

from feature_learning.cli.main import program

program()
