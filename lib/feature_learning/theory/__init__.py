"""Theory without Markov chains: quadrature, fixed points and closed forms.

Public: :func:`kernel_limit.solve` (infinite width), :mod:`population` (plain MF),
:mod:`ard_population` and :mod:`ard_branch` (MF-ARD), :mod:`critical_noise`, :mod:`free_energy`.
"""
