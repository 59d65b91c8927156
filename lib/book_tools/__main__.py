"""``python -m book_tools``."""

from feature_learning.cli.ending import leave, loading

with loading("book_tools"):
    from book_tools.cli import main

leave(main())
