"""Figures from numbers, in colours that the colour-blind can tell apart.

Public: :mod:`curves`, :mod:`phase_diagrams`, :mod:`ridgelines`, :mod:`families`,
:mod:`chain_figures`.
"""
