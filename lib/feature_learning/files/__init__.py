"""Files that are whole or absent: atomic writes, locks, archives of arrays, documents."""
