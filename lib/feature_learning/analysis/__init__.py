"""Analysis of tables and checkpoints: curves, onsets, agreement and convergence.

Public: :func:`loading.load_or_compute`, :class:`results.Results`, :class:`curve.Curve`,
:func:`onset.crossing`, :func:`agreement.differences`, :func:`chain_history.read_draws`.
"""
