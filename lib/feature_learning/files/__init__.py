"""Files that are complete or absent, however the program ends.

Public: :func:`atomic.write`, :func:`locks.held`, :mod:`archives` of arrays with a header, and
:mod:`documents`, JSON with a checksum.
"""
