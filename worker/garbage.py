"""Tells Python's collector of cyclic garbage what it need not look at.

A request in flight is some fifteen objects without cycles: reference counts free them, and the collector only walks
over them, again and again, and over all of torch as well. Without a word it took a third of the worker's time.
"""

from __future__ import annotations

import gc
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

_YOUNG_OBJECTS: Final = 200_000
"""New containers beyond those freed before the collector looks at them; Python's own is 700."""


@contextmanager
def loaded_left_alone() -> Iterator[None]:
    """Enter once all that stays is loaded: it is not looked at until this is left, and what comes and goes rarely."""
    before = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS, 10, 10)
    try:
        yield
    finally:
        # Frozen at the end of the process, torch's compilers would be reported as leaked.
        gc.unfreeze()
        gc.set_threshold(*before)
