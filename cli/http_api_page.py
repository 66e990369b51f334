"""Writes the reference part of `docs/http-api.md` from the OpenAPI document; run it after changing that.

python -m cli.http_api_page
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from api.openapi import openapi_document
from api.reference import Reference

PAGE: Final = Path(__file__).parents[1] / "docs" / "http-api.md"
MARK: Final = "<!-- From here on generated from the OpenAPI document: python -m cli.http_api_page -->"
"""Everything above it in the page is written by hand and kept."""


def render(page: str) -> str:
    """The page with its reference brought up to date.

    Args:
        page: The page as it stands; what is above the mark is kept.

    Raises:
        ValueError: The mark is not in it.
    """
    head, mark, _ = page.partition(MARK)
    if not mark:
        raise ValueError(f"{PAGE.name} lacks the line {MARK!r}")
    return head + MARK + "\n\n" + "\n".join(Reference(openapi_document("")).lines()) + "\n"


def write() -> None:
    """Bring the page up to date."""
    PAGE.write_text(render(PAGE.read_text()))


if __name__ == "__main__":
    write()
