"""`GET /docs`: the reference of the API as one page of HTML that loads nothing, so that it needs no network."""

from __future__ import annotations

import html
import re
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

from fastapi import APIRouter
from starlette.responses import HTMLResponse

from .reference import Reference

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_STYLE: Final = """
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem; }
body { color: #1a1a1a; background: #fff; }
h2 { border-top: 1px solid #ccc; margin-top: 2.5rem; padding-top: 1rem; }
code { background: #f2f2f2; border-radius: 3px; padding: 0 .25em; }
table { border-collapse: collapse; display: block; overflow-x: auto; }
th, td { border: 1px solid #ddd; padding: .25rem .6rem; text-align: left; vertical-align: top; }
@media (prefers-color-scheme: dark) {
  body { color: #ddd; background: #161616; }
  code { background: #2a2a2a; }
  th, td, h2 { border-color: #444; }
  a { color: #8ab4f8; }
}
"""
_INLINE: Final = re.compile(r"`(?P<code>[^`]*)`|\[(?P<text>[^\]]*)\]\((?P<link>[^)]*)\)")
_CELLS: Final = re.compile(r"\s\|(?:\s|$)")


def docs_router(document: dict[str, Any]) -> APIRouter:
    """The route.

    Args:
        document: OpenAPI, as `/openapi.json` serves it.
    """
    page = render(document)
    router = APIRouter()

    @router.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return HTMLResponse(page)

    return router


def render(document: dict[str, Any]) -> str:
    """The whole page."""
    info = document["info"]
    title = html.escape(f"{info['title']} {info['version']}")
    return "\n".join(
        [
            "<!doctype html>",
            f'<html lang="en"><head><meta charset="utf-8"><title>{title}</title>',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<style>{_STYLE}</style></head><body>",
            f"<h1>{title}</h1>",
            f"<p>{html.escape(info['summary'])} The same for tools: "
            '<a href="openapi.json"><code>/openapi.json</code></a>, OpenAPI 3.1.</p>',
            *_html(Reference(document).lines()),
            "</body></html>",
        ]
    )


def _html(lines: Iterable[str]) -> Iterator[str]:
    """HTML of the Markdown that a reference is written in: headings, tables and paragraphs of one line each."""
    for is_table, block in groupby(lines, key=lambda line: line.startswith("|")):
        if is_table:
            yield from _table(list(block))
            continue
        for line in filter(None, block):
            if line.startswith("## "):
                heading = line.removeprefix("## ")
                yield f'<h2 id="{_anchor(heading)}">{_inline(heading)}</h2>'
            else:
                yield f"<p>{_inline(line)}</p>"


def _table(rows: list[str]) -> Iterator[str]:
    heads, _, *body = rows
    yield f"<table><thead><tr>{''.join(f'<th>{_inline(cell)}</th>' for cell in _cells(heads))}</tr></thead><tbody>"
    for row in body:
        first, *others = _cells(row)
        cells = "".join(f"<td>{_inline(cell)}</td>" for cell in others)
        yield f"<tr><td>{_linked(first)}</td>{cells}</tr>"
    yield "</tbody></table>"


def _cells(row: str) -> list[str]:
    return [cell.strip() for cell in _CELLS.split(row.removeprefix("| "))[:-1]]


def _linked(cell: str) -> str:
    """A cell that names an endpoint leads to its section."""
    inner = _inline(cell)
    name = cell.strip("`")
    return f'<a href="#{_anchor(name)}">{inner}</a>' if re.match(r"[A-Z]+ /", name) else inner


def _inline(text: str) -> str:
    parts, end = [], 0
    for found in _INLINE.finditer(text):
        parts.append(html.escape(text[end : found.start()]))
        end = found.end()
        if found["code"] is not None:
            parts.append(f"<code>{html.escape(found['code'])}</code>")
        else:
            parts.append(f'<a href="{html.escape(found["link"])}">{_inline(found["text"])}</a>')
    return "".join((*parts, html.escape(text[end:])))


def _anchor(heading: str) -> str:
    """As GitHub makes them of headings, so that links within the reference lead somewhere."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
