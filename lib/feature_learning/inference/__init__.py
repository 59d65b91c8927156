"""Chains: where they start, the run loop, what it measures, and when it ends.

Public: :func:`sampling.sample`, :func:`chains.run`, :class:`observables.Observer`,
:class:`diagnostics.ConvergenceRule`, :func:`mean_field.solve`.
"""
