"""Ratios as bars, in SVG."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from .recording import number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .figures import Target

_WIDTH: Final = 900
_LEFT: Final = 20
_RIGHT: Final = 80
_ROW: Final = 52
_TOP: Final = 36
_BAR: Final = 20
_MET: Final = "#3b6fb5"
_MISSED: Final = "#b5533b"
_TARGET: Final = "#3d8b40"


class Bar(NamedTuple):
    """One ratio."""

    label: str
    median: float
    lowest: float
    highest: float
    target: Target | None

    @property
    def bounds(self) -> list[float]:
        """Where the target's ends are."""
        ends = (self.target.lowest, self.target.highest) if self.target else ()
        return [end for end in ends if end is not None]


def draw_bars(title: str, bars: Sequence[Bar]) -> str:
    """Bars from 0, a line from the lowest to the highest round, ticks at the target's ends, a dashed line at 1."""
    longest = max(1.0, *(bar.highest for bar in bars), *(end for bar in bars for end in bar.bounds))
    scale = (_WIDTH - _LEFT - _RIGHT) / longest
    height, one = _TOP + _ROW * len(bars), _LEFT + scale
    said = "; ".join(f"{bar.label}: {number(bar.median)}" for bar in bars)
    attributes: dict[str, Any] = {
        "xmlns": "http://www.w3.org/2000/svg",
        "viewBox": f"0 0 {_WIDTH} {height}",
        "role": "img",
        "aria-labelledby": "title description",
        "font-family": "system-ui, -apple-system, 'Segoe UI', sans-serif",
        "font-size": "13",
    }
    lines = [
        "<svg " + " ".join(f'{name}="{value}"' for name, value in attributes.items()) + ">",
        f'  <title id="title">{escape(title)}</title>',
        f'  <desc id="description">Bars from 0, each the median over the rounds. {escape(said)}.</desc>',
        f'  <rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
        _line(one, _TOP - 14, one, height - 8, "#999999", "1", ' stroke-dasharray="3 3"'),
        _text(one, _TOP - 20, "1", "#666666", ' text-anchor="middle"'),
    ]
    for place, bar in enumerate(bars):
        lines += _draw(bar, _TOP + _ROW * place, scale)
    return "\n".join([*lines, "</svg>", ""])


def _draw(bar: Bar, top: int, scale: float) -> list[str]:
    y, (lowest, median, highest) = top + 18, (_LEFT + scale * one for one in (bar.lowest, bar.median, bar.highest))
    colour = _MET if bar.target is None or bar.target.met(bar.median) else _MISSED
    return [
        _text(_LEFT, top + 12, bar.label, "#222222"),
        f'  <rect x="{_LEFT}" y="{y}" width="{median - _LEFT:.1f}" height="{_BAR}" fill="{colour}"/>',
        _line(lowest, y + _BAR / 2, highest, y + _BAR / 2, "#222222", "2"),
        *(_line(_LEFT + scale * end, y - 3, _LEFT + scale * end, y + _BAR + 3, _TARGET, "3") for end in bar.bounds),
        _text(
            max([highest, *(_LEFT + scale * end for end in bar.bounds)]) + 8, y + 15, number(bar.median), "#222222"
        ),
    ]


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, width: str, more: str = "") -> str:
    ends = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return f'  <line {ends} stroke="{colour}" stroke-width="{width}"{more}/>'


def _text(x: float, y: float, words: str, colour: str, more: str = "") -> str:
    return f'  <text x="{x:.1f}" y="{y:.1f}" fill="{colour}"{more}>{escape(words)}</text>'
