"""How is a library kept from loading others that it would only use for what we do not do?"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def imports_refused(*names: str) -> Iterator[None]:
    """Top-level packages that look as if they were not installed inside; what is loaded already stays.

    For the whole process, other threads included: for imports at the start, before there are any.
    """
    refused = [name for name in names if name not in sys.modules]
    for name in refused:
        sys.modules[name] = None  # type: ignore[assignment]  # the documented way to make an import fail
    try:
        yield
    finally:
        for name in refused:
            del sys.modules[name]
