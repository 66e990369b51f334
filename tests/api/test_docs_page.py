"""`api/docs_page.py`: the page tells the whole document, and loads nothing from anywhere."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import pytest

from api.docs_page import render
from api.metadata import release
from api.openapi import openapi_document
from schemas.requests import EmbeddingBody

from .stand_in import StandInClient, api_over

if TYPE_CHECKING:
    import httpx

DOCUMENT = openapi_document(release())
OPERATIONS = [f"{method.upper()} {path}" for path, item in DOCUMENT["paths"].items() for method in item]
_WITHOUT_END = {"meta"}
_LOADS = {"src", "href", "action", "data", "poster", "srcset"}


class Page(HTMLParser):
    """What a browser would make of it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.ids: list[str] = []
        self.headings: list[str] = []
        self.rows: list[list[str]] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in _LOADS]
        self.ids += [value or "" for name, value in attrs if name == "id"]
        if tag == "h2":
            self.headings.append("")
        elif tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
        if tag not in _WITHOUT_END:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "h2" in self._open:
            self.headings[-1] += data
        if "td" in self._open or "th" in self._open:
            self.rows[-1][-1] += data


@pytest.fixture(scope="module")
def text() -> str:
    with api_over(StandInClient()) as http:
        response = http.get("/docs")
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    return response.text


@pytest.fixture(scope="module")
def page(text: str) -> Page:
    return Page(text)


def test_it_loads_nothing(text: str, page: Page) -> None:
    assert not {"script", "link", "img", "iframe", "object", "embed"} & set(page.tags)
    assert not re.search(r"@import|url\(", text)
    assert {address for address in page.addresses if not address.startswith("#")} == {"openapi.json"}


def test_every_link_within_it_leads_somewhere(page: Page) -> None:
    within = {address.removeprefix("#") for address in page.addresses if address.startswith("#")}

    assert len(page.ids) == len(set(page.ids))
    assert within <= set(page.ids)
    assert len(within) >= len(OPERATIONS)


def test_every_operation_has_its_section_and_every_field_of_a_request_its_row(page: Page) -> None:
    assert [heading for heading in page.headings if "/" in heading] == OPERATIONS
    fields = {row[0]: row for row in page.rows if len(row) == 4}
    for name in EmbeddingBody.model_fields:
        assert all(cell.strip() for cell in fields[name])


def test_its_cells_are_those_of_the_reference(page: Page) -> None:
    [row] = [row for row in page.rows if row[0] == "truncate"]

    assert row == [
        "truncate",
        "NONE, START, END or null",
        "NONE",
        "An input over the model's token limit is refused (NONE), or loses its START or END.",
    ]


@pytest.mark.parametrize("odd", ["<script>alert(1)</script>", "a & b", '"quoted"', "`<b>`"])
def test_what_the_document_says_is_text_and_never_markup(odd: str) -> None:
    document: dict[str, Any] = {**DOCUMENT, "info": {**DOCUMENT["info"], "description": odd, "title": odd}}

    page = Page(render(document))

    assert not {"script", "b"} & set(page.tags)


def test_the_framework_serves_no_page_of_its_own(http: httpx.Client) -> None:
    for path in ("/redoc", "/docs/oauth2-redirect"):
        assert http.get(path).status_code == 404
