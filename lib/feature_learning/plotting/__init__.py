"""Figures from numbers, in colours that colour-blind readers can distinguish.

Public: :mod:`curves`, :mod:`phase_diagrams`, :mod:`ridgelines`, :mod:`families`,
:mod:`chain_figures`.
"""
