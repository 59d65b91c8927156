"""Analysis of tables and checkpoints: curves, onsets, agreement and convergence.

Public: :func:`results.load_or_compute`, :class:`results.Results`, :class:`curve.Curve`,
:func:`onset.crossing`, :func:`agreement.differences`, :func:`draws.read_draws`.
"""
