"""Samplers: one algorithm per module, all with the same functions ``init`` and ``advance``.

The public names are listed in ``__init__.pyi`` and imported on first use. The options of each
sampler are in :mod:`feature_learning.samplers.registry`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
