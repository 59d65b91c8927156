"""Sweeps over many points: the file that lists them, the workers, the store and its tables.

Public: :func:`grid.read_grid`, :func:`sweep.sweep`, :func:`pool.run_points`,
:class:`store.Store`, :func:`table.tabulate`.
"""
