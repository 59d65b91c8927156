"""Feature learning in two-layer networks: posterior, mean field, MF-ARD and the kernel limit.

The public API is what ``__init__.pyi`` lists; see the API page of the book. A name is imported when
it is first asked for: torch takes seconds, and neither the help of the command line nor the tools
that build the book need it.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
