"""`docs/http-api.md` and the module that generates its reference."""

from __future__ import annotations

import pytest

from api.openapi import openapi_document
from cli.http_api_page import MARK, PAGE, render
from schemas.errors import ErrorCode
from schemas.requests import EmbeddingBody
from tests.schemas.messages_page import table
from tests.stack.command import run_command

_PAGE = PAGE.read_text()


def test_the_reference_says_what_the_document_says() -> None:
    assert render(_PAGE) == _PAGE, "run: python -m cli.http_api_page"


def test_what_is_above_the_mark_is_kept_and_what_is_below_it_replaced() -> None:
    page = render(f"# By hand\n\n{MARK}\n\nout of date")

    assert page.startswith(f"# By hand\n\n{MARK}\n\n## Endpoints")
    assert "out of date" not in page


def test_a_page_without_the_mark_is_left_alone() -> None:
    with pytest.raises(ValueError, match="lacks the line"):
        render("# By hand")


def test_generating_the_page_needs_neither_torch_nor_fastapi_nor_a_kafka_client() -> None:
    heavy = ("torch", "transformers", "fastapi", "confluent_kafka")
    script = f"import sys, cli.http_api_page; print([name for name in {heavy} if name in sys.modules])"

    status, command = run_command(script=script)

    assert status == 0, command.quote()
    assert command.stdout == "[]\n"


@pytest.mark.parametrize("path", openapi_document("")["paths"])
def test_every_path_has_its_section(path: str) -> None:
    assert f"| `GET {path}` |" in _PAGE or f"| `POST {path}` |" in _PAGE
    assert f"\n## GET {path}\n" in _PAGE or f"\n## POST {path}\n" in _PAGE


@pytest.mark.parametrize("field", EmbeddingBody.model_fields)
def test_every_field_of_a_request_has_type_default_and_meaning(field: str) -> None:
    fields = _PAGE.split("\nRequest:\n")[1].split("| parameter |")[0]

    (row,) = (line for line in fields.splitlines() if line.startswith(f"| `{field}` |"))

    assert len(cells := row.strip("|").split(" | ")) == 4
    assert all(cell.strip() for cell in cells)


def test_every_code_that_is_answered_over_http_is_explained() -> None:
    dead_letters = {row[0] for row in table("Error codes") if row[3].startswith("dead letters only")}
    explained = [line.split("`")[1] for line in _PAGE.splitlines() if line.startswith(("| 4", "| 5"))]

    assert sorted(explained) == sorted({code.value for code in ErrorCode} - dead_letters)
