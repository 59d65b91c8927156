"""Samplers: one algorithm a module, all with the same functions ``init`` and ``advance``.

Public: what ``__init__.pyi`` lists, each imported when it is first asked for; how they are told
what to do stands in :mod:`feature_learning.samplers.registry`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
