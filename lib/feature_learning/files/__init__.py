"""Files that are whole or absent, whatever ends the program.

Public: :func:`atomic.write`, :func:`locks.held`, :mod:`archives` of arrays with a header, and
:mod:`documents`, JSON with a checksum.
"""
