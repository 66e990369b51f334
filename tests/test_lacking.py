"""`tests/lacking.py`: nothing that must run is skipped in silence."""

from __future__ import annotations

import pytest

from . import lacking

_NOWHERE = "a-command-that-nobody-has"


def test_a_test_that_lacks_something_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lacking, "ALL_MUST_RUN", False)

    with pytest.raises(pytest.skip.Exception, match="no Node"):
        lacking.skip_for_want_of("no Node")
    assert lacking.needs(_NOWHERE).args == (True,)
    assert lacking.needs("sh").args == (False,)


def test_where_all_must_run_it_fails_and_says_what_is_lacking(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lacking, "ALL_MUST_RUN", True)

    with pytest.raises(pytest.fail.Exception, match="REQUIRE_KAFKA=1, but no Node"):
        lacking.skip_for_want_of("no Node")
    assert lacking.needs(_NOWHERE).args == (False,)
