"""The program ``feature-learning``: its options, its messages and its exit codes.

Public: :func:`main.main`.
"""
