"""The model: the target, the network with its prior, and its passes over a data set.

Public: :class:`teachers.SparseParity`, :class:`teachers.SingleIndex`, :func:`teachers.draw`,
:class:`student.Student`, :class:`priors.Ard`, :class:`field.Field`.
"""
