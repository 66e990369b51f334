"""What a benchmark found: printed as it comes, and written as JSON."""

from __future__ import annotations

import json
import statistics
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from .figures import FIGURES
from .machine import describe_machine, features

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Measured:
    """One figure as it was measured."""

    key: str
    case: str
    """What it was measured with, where there is more than one: the corpus, say."""
    median: float
    lowest: float
    highest: float
    rounds: list[float]
    ours: list[float]
    """Our side, round by round; empty where there is no other side."""
    theirs: list[float]
    target: str
    """Empty: there is none."""
    met: bool | None


class Results:
    """Collects the figures of one benchmark.

    Args:
        benchmark: Its name in the table of figures.
        options: What it was run with.
    """

    def __init__(self, benchmark: str, options: Mapping[str, Any]) -> None:
        self._benchmark = benchmark
        self._options = {name: value for name, value in options.items() if name not in ("json", "bootstrap")}
        self._rows = FIGURES[benchmark]
        self._figures: list[Measured] = []
        self._details: dict[str, Any] = {}

    def compare(self, key: str, ours: Sequence[float], theirs: Sequence[float], case: str = "") -> None:
        """A ratio of two sides, round by round."""
        ratios = [our / their for our, their in zip(ours, theirs, strict=True)]
        self._add(key, ratios, case, ours, theirs)

    def measure(self, key: str, rounds: Sequence[float], case: str = "") -> None:
        """A number that has no other side, round by round."""
        self._add(key, rounds, case)

    def detail(self, name: str, value: Any) -> None:
        """Whatever else a reader may want to know."""
        self._details[name] = value
        print(f"{name}: {value}", flush=True)

    def write(self, path: Path | None) -> None:
        """Print the machine, and write everything."""
        machine = describe_machine()
        print(json.dumps(machine))
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(self._as_json() | {"machine": machine}, indent=2) + "\n")

    def _as_json(self) -> dict[str, Any]:
        return {
            "benchmark": self._benchmark,
            "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "options": self._options,
            "figures": [asdict(figure) for figure in self._figures],
            "details": self._details,
        }

    def _add(
        self,
        key: str,
        rounds: Sequence[float],
        case: str,
        ours: Sequence[float] = (),
        theirs: Sequence[float] = (),
    ) -> None:
        row, median = self._rows[key], statistics.median(rounds)
        target = row.target(features())
        figure = Measured(
            key,
            case,
            median,
            min(rounds),
            max(rounds),
            list(rounds),
            list(ours),
            list(theirs),
            str(target or ""),
            target.met(median) if target else None,
        )
        self._figures.append(figure)
        print(_line(row.what, row.unit, row.sides_unit, figure), flush=True)


def _line(what: str, unit: str, sides_unit: str, figure: Measured) -> str:
    name = f"{what} ({figure.case})" if figure.case else what
    line = f"{name}: {number(figure.median)} {unit}".rstrip()
    line += f" ({number(figure.lowest)}-{number(figure.highest)})"
    if figure.ours:
        ours, theirs = statistics.median(figure.ours), statistics.median(figure.theirs)
        line += f", {number(ours)} against {number(theirs)} {sides_unit}"
    return line + (f", target {figure.target}: {'met' if figure.met else 'missed'}" if figure.target else "")


def number(value: float) -> str:
    """A figure as people read it; cosines near 1 keep what sets them apart."""
    if 0.999 < value < 1:
        return f"{value:.7f}"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 20 else f"{value:.2f}"
