"""``python -m feature_learning``: the same as the program ``feature-learning``."""

import sys

from feature_learning_launcher import main

sys.exit(main())
