"""Measurements of speed, side by side with other packages. Nothing here is imported by the library.

``python -m benchmarks`` (``make bench``) runs all of it:

* :mod:`benchmarks.steps`: the time of one step, and its share of the machine's matrix products;
* :mod:`benchmarks.effective`: effective samples per step and second;
* :mod:`benchmarks.settling`: the time from the prior until chains agree.

The numbers go into one table, whose columns :mod:`benchmarks.speed` defines and checks.
"""
