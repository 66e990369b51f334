"""An error told without its words: these may quote an input."""

from __future__ import annotations

import traceback


def causes_of(error: BaseException | None) -> list[str]:
    """Each error of the chain by its type and where it was raised, the first cause last."""
    causes = []
    while error is not None:
        frames = traceback.extract_tb(error.__traceback__)
        where = " < ".join(f"{frame.filename}:{frame.lineno} {frame.name}" for frame in reversed(frames))
        causes.append(f"{type(error).__name__} at {where}")
        error = error.__cause__ or error.__context__
    return causes
