"""``python -m book_tools``."""

from book_tools.cli import main

raise SystemExit(main())
