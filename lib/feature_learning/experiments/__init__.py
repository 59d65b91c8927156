"""One point of a figure: a configuration in, one row of numbers out.

Public: :class:`config.PointConfig`, a composition of parts; :func:`flat.configure`, which makes one
from names and values; :func:`point.run_point`; :func:`posterior.posterior` for your own data; and
the published numbers and protocol in :mod:`paper`.
"""
