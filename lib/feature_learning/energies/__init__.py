"""Energies: U(θ) of the network posterior and of the mean fields, with its gradient.

Public: :func:`particles.network_posterior`, :func:`particles.mean_field_energy`,
:class:`collapsed.CollapsedEnergy`, :class:`ladder.LadderEnergy`,
:class:`minibatch.MiniBatchEnergy`, :class:`own_prior.OwnPriorEnergy`, and :class:`base.Energy`,
the interface of an energy.
"""
