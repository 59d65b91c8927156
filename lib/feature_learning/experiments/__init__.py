"""One point: its configuration, its machine, what it returns."""
