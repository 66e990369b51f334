"""What `docs/messages.md` says in prose, where the code can be asked. Its tables are checked with the schemas."""

from __future__ import annotations

import re

from schemas.errors import ErrorCode
from schemas.requests import MAX_ID_BYTES, MAX_INPUTS, MAX_METADATA_DEPTH, MAX_MODEL_CHARACTERS

from .pages import DOCS, ROOT

_PAGE = (DOCS / "messages.md").read_text()


def test_every_code_of_the_table_is_answered_by_somebody() -> None:
    sources = "\n".join(
        path.read_text()
        for folder in ("api", "client", "transport", "worker", "schemas")
        for path in (ROOT / folder).rglob("*.py")
        if path != ROOT / "schemas" / "errors.py"
    )
    assert [code.value for code in ErrorCode if not re.search(rf"ErrorCode\.{code.name}\b", sources)] == []


def test_the_limits_are_those_in_force() -> None:
    assert f"| inputs of one request | {MAX_INPUTS} |" in _PAGE
    assert f"| an id | {MAX_ID_BYTES} bytes in UTF-8 |" in _PAGE
    assert f"| a model name | {MAX_MODEL_CHARACTERS} characters |" in _PAGE
    assert f"| objects and lists inside one another, in metadata | {MAX_METADATA_DEPTH} |" in _PAGE
