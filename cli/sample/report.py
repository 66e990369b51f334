"""What the sample run found, and how it is shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import Console

_EXCERPT_CHARACTERS: Final = 90


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A docstring near the question."""

    name: str
    text: str
    cosine: float


@dataclass(frozen=True, slots=True)
class SampleReport:
    """The books of one run; `sent == received + errors + lost`, each id counted once."""

    sent: int
    received: int
    """Ids that got at least one vector."""
    errors: int
    lost: int
    """Ids that got neither a vector nor an error."""
    duplicated: int
    """Answers past the first of an id."""
    error_codes: Mapping[str, int]
    tokens: int
    seconds: float
    question: str
    nearest: tuple[Neighbour, ...]
    """Nearest docstring first; empty where the question got no vector."""

    @property
    def is_complete(self) -> bool:
        """Whether every id came back with a vector."""
        return self.received == self.sent


def show_report(report: SampleReport, console: Console) -> None:
    """Print the report; plain lines on a console that is no terminal."""
    rate = report.sent / max(report.seconds, 1e-9)
    token_rate = report.tokens / max(report.seconds, 1e-9)
    codes = ", ".join(f"{code} {count:,}" for code, count in sorted(report.error_codes.items()))
    lines = [
        f"{report.sent:,} docstrings sent, {report.received:,} embeddings received, "
        f"{report.errors:,} errors{f' ({codes})' if codes else ''}, "
        f"{report.lost:,} lost, {report.duplicated:,} duplicated",
        f"{report.seconds:.1f} s, {rate:,.0f} texts/s, {token_rate:,.0f} tokens/s",
    ]
    if report.nearest:
        lines.append(f'nearest to "{report.question}":')
    lines += [f"  {near.cosine:.3f}  {near.name}  {_excerpt(near.text)}" for near in report.nearest]
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _excerpt(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _EXCERPT_CHARACTERS else f"{line[: _EXCERPT_CHARACTERS - 1]}…"
