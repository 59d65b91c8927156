"""``python -m book_tools``."""

from feature_learning.ending import loading

with loading("book_tools"):
    from book_tools.cli import main

raise SystemExit(main())
