"""How do processes start sooner? Large libraries are loaded without what costs time and is not wanted.

Both are for the whole process, other threads included: where no other thread wants what is refused.
"""

from __future__ import annotations

import contextlib
import gc
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def imports_refused(*names: str) -> Iterator[None]:
    """Top-level packages that look as if they were not installed inside; what is loaded already stays."""
    refused = [name for name in names if name not in sys.modules]
    for name in refused:
        sys.modules[name] = None  # type: ignore[assignment]  # the documented way to make an import fail
    try:
        yield
    finally:
        for name in refused:
            del sys.modules[name]


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """No garbage is collected inside, and what was made there is never gone through again.

    Modules stay for good; going through them again and again while more are loaded takes a fifth of the time.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_enabled:
            gc.enable()
