"""The evidence of a code, by populations and thermodynamic integrals along a path of noises.

Public: :func:`annealing.anneal`, :func:`integration.integrate`, :func:`populations.run`.
"""
