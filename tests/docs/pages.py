"""The Markdown pages of the project, their fenced code blocks, headings and links."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
DOCS: Final = ROOT / "docs"
CLIENTS: Final = DOCS / "clients"
CLIENT_PAGES: Final = tuple(page for page in sorted(CLIENTS.glob("*.md")) if page.name != "README.md")
"""A page a client: `test_client_pages.py` checks their blocks, in that client's environment."""
PAGES: Final = (
    ROOT / "README.md",
    *(page for page in sorted(DOCS.rglob("*.md")) if page not in CLIENT_PAGES),
    ROOT / "examples" / "README.md",
)
"""Pages whose code blocks are checked, by language: every other one."""
LINKING: Final = (*PAGES, *CLIENT_PAGES, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md")
"""Pages whose links are checked."""

_BLOCK: Final = re.compile(
    r"^(?:<!-- (?P<note>.*?) -->\n)?```(?P<language>\w*)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE
)
_LINK: Final = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_HEADING: Final = re.compile(r"^#+ (.*)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced code block."""

    page: Path
    line: int
    language: str
    note: str
    """What the HTML comment above it says; empty without one."""
    text: str

    @property
    def name(self) -> str:
        """Where it is, for the name of a test."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(page: Path) -> list[Block]:
    """The code blocks of a page, in order."""
    text = page.read_text()
    return [
        Block(
            page,
            text.count("\n", 0, found.start("language")) + 1,
            found["language"],
            found["note"] or "",
            found["text"].removesuffix("\n"),
        )
        for found in _BLOCK.finditer(text)
    ]


def all_blocks(*languages: str) -> list[Block]:
    """The blocks of every page in one of these languages."""
    return [block for page in PAGES for block in blocks(page) if block.language in languages]


def prose(page: Path) -> str:
    """The page without its code blocks."""
    return _BLOCK.sub("", page.read_text())


def links(page: Path) -> list[str]:
    """Where the links and images of a page lead to, as they are written."""
    return _LINK.findall(prose(page))


def anchors(page: Path) -> set[str]:
    """The fragments that lead to the headings of a page, as GitHub makes them."""
    headings = (heading.strip().lower() for heading in _HEADING.findall(prose(page)))
    return {re.sub(r"[^\w\- ]", "", heading).replace(" ", "-") for heading in headings}
