"""Reads `docs/messages.md`: its tables by heading, and its JSON examples with the schema each names."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

_PAGE: Final = Path(__file__).parents[2] / "docs" / "messages.md"
_EXAMPLE: Final = re.compile(r"(?:<!-- schema: ([a-z-]+) -->\n)?```json\n(.*?)```", re.DOTALL)


def table(heading: str) -> list[list[str]]:
    """The rows of the first table below a heading, header row left out, back-ticks taken off."""
    below = _PAGE.read_text().split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    lines = below[below.index("\n|") + 1 :].split("\n\n", 1)[0].splitlines()
    return [[cell.strip().replace("`", "") for cell in line.strip("|").split("|")] for line in lines[2:]]


def examples() -> list[tuple[str, str]]:
    """Every fenced JSON block: the schema named by the comment above it (empty: none), and the text."""
    return [(schema, text) for schema, text in _EXAMPLE.findall(_PAGE.read_text())]
