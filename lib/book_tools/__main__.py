"""``python -m book_tools``."""

from book_tools.cli import main
from feature_learning.ending import leave

leave(main())
