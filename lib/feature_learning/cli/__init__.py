"""The program feature-learning: its options, its messages, and how it ends.

Public: :func:`main.main`.
"""
