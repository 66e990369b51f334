from __future__ import annotations

import io

from rich.console import Console

from cli.embed.progress import BarProgress, LineProgress, open_progress


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_lines_come_every_five_seconds_and_at_the_end() -> None:
    lines: list[str] = []
    clock = Clock()
    progress = LineProgress(lines.append, clock)
    progress.start("embedding", 1000, done=100)
    for _ in range(9):
        clock.now += 1
        progress.advance(10, 50, failed=1)
    assert lines == ["embedding: 150/1,000 texts, 10 texts/s, 50 tokens/s, 5 failed, ETA 1:25"]
    progress.note("row 3: bad")
    progress.finish()
    assert lines[1:] == ["row 3: bad", "embedding: 190/1,000 texts, 10 texts/s, 50 tokens/s, 9 failed, ETA 1:21"]


def test_a_total_that_is_not_known_is_not_shown() -> None:
    lines: list[str] = []
    progress = LineProgress(lines.append, Clock())
    progress.start("embedding", None)
    progress.finish()
    assert lines == ["embedding: 0 texts, 0 texts/s, 0 tokens/s"]
    progress.set_total(0)
    progress.finish()
    assert lines[1] == "embedding: 0/0 texts, 0 texts/s, 0 tokens/s"


def test_a_terminal_gets_a_bar_and_anything_else_gets_lines() -> None:
    assert isinstance(open_progress(Console(file=io.StringIO(), force_terminal=True)), BarProgress)
    shown = io.StringIO()
    progress = open_progress(Console(file=shown, width=20))
    assert isinstance(progress, LineProgress)
    progress.note("a [note] longer than the console is wide: 42")
    assert shown.getvalue() == "a [note] longer than the console is wide: 42\n"


def test_the_bar_shows_done_total_rates_and_notes() -> None:
    shown = io.StringIO()
    clock = Clock()
    progress = BarProgress(Console(file=shown, force_terminal=True, width=160), clock)
    progress.start("embedding", None, done=50)
    clock.now += 2
    progress.advance(50, 400, failed=2)
    progress.set_total(200)
    progress.note("row [3]: bad")
    progress.finish()
    text = shown.getvalue()
    for part in ("embedding", "100/200", "25 texts/s, 200 tokens/s, 2 failed", "row [3]: bad"):
        assert part in text
