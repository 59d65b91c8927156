"""Speed of the library in comparison with other packages. The library does not import this package.

``python -m benchmarks`` (``make bench``) runs all measurements:

* :mod:`benchmarks.steps`: the time of one step, and the rate of its matrix products;
* :mod:`benchmarks.ess`: effective samples per step and per second;
* :mod:`benchmarks.convergence_time`: the time until chains agree.

The numbers form one table; :mod:`benchmarks.speed` defines and checks its columns.
"""
