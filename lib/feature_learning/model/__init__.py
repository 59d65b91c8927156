"""The model: the target, the network with its prior, and its passes over a data set.

Public: :class:`teachers.SparseParity`, :class:`teachers.SingleIndex`, :class:`student.Student`,
:func:`teachers.make_dataset`, :class:`priors.Ard`, :class:`forward.Forward`.
"""
