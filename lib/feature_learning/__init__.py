"""Feature learning in two-layer networks: posterior, mean field, MF-ARD and the kernel limit.

The public API is listed in ``__init__.pyi`` and described on the API page of the book. Names are
imported on first use: torch takes seconds to import, and neither the help of the command line nor
the tools that build the book need it.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
