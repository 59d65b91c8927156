"""Analysis of tables and checkpoints: curves, onsets, agreement and convergence.

Public: :func:`results.obtain`, :class:`results.Results`, :class:`curve.Curve`,
:func:`onset.crossing`, :func:`agreement.differences`, :func:`draws.read_draws`.
"""
