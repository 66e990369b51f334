"""What becomes of a test for which this machine lacks something: skipped, or failed where all must run."""

from __future__ import annotations

import os
import shutil
from typing import Final

import pytest

ALL_MUST_RUN: Final = os.environ.get("REQUIRE_KAFKA") == "1"


def skip_for_want_of(reason: str) -> None:
    """Skip the running test; under REQUIRE_KAFKA=1 fail it."""
    if ALL_MUST_RUN:
        pytest.fail(f"REQUIRE_KAFKA=1, but {reason}", pytrace=False)
    pytest.skip(reason)


def needs(command: str) -> pytest.MarkDecorator:
    """Mark a test that runs this command; under REQUIRE_KAFKA=1 it runs, and fails, without it."""
    lacks = shutil.which(command) is None and not ALL_MUST_RUN
    return pytest.mark.skipif(lacks, reason=f"{command} is not installed")
