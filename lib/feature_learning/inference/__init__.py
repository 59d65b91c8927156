"""Markov chains: starting points, the run loop, observables, convergence and stopping.

Public: :func:`sampling.sample`, :func:`chains.run_chains`, :class:`observables.Observer`,
:class:`diagnostics.ConvergenceRule`, :func:`mean_field.solve`.
"""
