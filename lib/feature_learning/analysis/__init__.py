"""From tables and checkpoints to numbers: curves, onsets, agreement, diagnoses.

Public: :func:`results.obtain`, :class:`results.Results`, :class:`curve.Curve`,
:func:`onset.crossing`, :func:`agreement.differences`, :func:`draws.read_draws`.
"""
