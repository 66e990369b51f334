"""`worker/garbage.py`: what is loaded is left alone while serving, and Python is as before afterwards."""

from __future__ import annotations

import gc

from worker.garbage import loaded_left_alone


def test_what_is_there_is_not_looked_at_and_what_comes_is_looked_at_rarely() -> None:
    before, frozen = gc.get_threshold(), gc.get_freeze_count()
    with loaded_left_alone():
        assert gc.get_freeze_count() > frozen
        assert gc.get_threshold()[0] > 100 * before[0]
        assert gc.isenabled()
    assert gc.get_threshold() == before
    assert gc.get_freeze_count() == 0
