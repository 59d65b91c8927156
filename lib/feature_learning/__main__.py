"""``python -m feature_learning``: the same as the program ``feature-learning``."""

from feature_learning_launcher import main

main()
