"""How far a run has come, for a person: a bar on a terminal, a line every few seconds elsewhere."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console

LINE_EVERY_SECONDS: Final = 5.0


class Progress(Protocol):
    """Told of what was done; shows it. Calls come in the order below, from one thread."""

    def start(self, title: str, total: int | None, done: int = 0) -> None:
        """Begin; `done` texts were done by an earlier run, `total` counts them too."""

    def set_total(self, total: int) -> None:
        """The total has become known."""

    def advance(self, texts: int, tokens: int, failed: int = 0) -> None:
        """This many more texts are done; `failed` of these or of earlier ones ended in an error."""

    def note(self, line: str) -> None:
        """Show a line of its own."""

    def finish(self) -> None:
        """End, whether all was done or not."""


@dataclass(slots=True)
class Tally:
    """The numbers both kinds show."""

    title: str
    total: int | None
    done: int
    started_at: float
    fresh: int = 0
    """Texts done since the start, earlier runs not counted: what rates are made of."""
    tokens: int = 0
    failed: int = 0

    def add(self, texts: int, tokens: int, failed: int) -> None:
        self.done += texts
        self.fresh += texts
        self.tokens += tokens
        self.failed += failed

    def rates(self, now: float) -> str:
        """Texts and tokens a second, since the start."""
        seconds = max(now - self.started_at, 1e-9)
        failed = f", {self.failed:,} failed" if self.failed else ""
        return f"{self.fresh / seconds:,.0f} texts/s, {self.tokens / seconds:,.0f} tokens/s{failed}"

    def line(self, now: float) -> str:
        """One line: title, done of total, rates, time to go."""
        seconds = now - self.started_at
        done = f"{self.done:,}" if self.total is None else f"{self.done:,}/{self.total:,}"
        eta = ""
        if self.total is not None and self.fresh and self.done < self.total:
            remaining = (self.total - self.done) * seconds / self.fresh
            eta = f", ETA {_clock_face(remaining)}"
        return f"{self.title}: {done} texts, {self.rates(now)}{eta}"


class LineProgress:
    """Plain lines, for logs and pipes."""

    def __init__(self, write: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._write = write
        self._clock = clock
        self._tally = Tally("", None, 0, 0.0)
        self._last_line = 0.0

    def start(self, title: str, total: int | None, done: int = 0) -> None:
        self._last_line = self._clock()
        self._tally = Tally(title, total, done, self._last_line)

    def set_total(self, total: int) -> None:
        self._tally.total = total

    def advance(self, texts: int, tokens: int, failed: int = 0) -> None:
        self._tally.add(texts, tokens, failed)
        now = self._clock()
        if now - self._last_line >= LINE_EVERY_SECONDS:
            self._last_line = now
            self._write(self._tally.line(now))

    def note(self, line: str) -> None:
        self._write(line)

    def finish(self) -> None:
        self._write(self._tally.line(self._clock()))


class BarProgress:
    """A bar that stays in place, for terminals."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._tally = Tally("", None, 0, 0.0)
        self._bar = RichProgress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rates]}"),
            TimeRemainingColumn(),
            console=console,
        )
        self._task = self._bar.add_task("", start=False, visible=False, rates="")

    def start(self, title: str, total: int | None, done: int = 0) -> None:
        self._tally = Tally(title, total, done, self._clock())
        self._bar.reset(self._task, description=title, total=total, completed=done, visible=True)
        self._bar.start()

    def set_total(self, total: int) -> None:
        self._tally.total = total
        self._bar.update(self._task, total=total)

    def advance(self, texts: int, tokens: int, failed: int = 0) -> None:
        self._tally.add(texts, tokens, failed)
        self._bar.update(self._task, advance=texts, rates=self._tally.rates(self._clock()))

    def note(self, line: str) -> None:
        self._bar.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def finish(self) -> None:
        self._bar.stop()


def open_progress(console: Console) -> Progress:
    """The kind that fits the console, which is best one on standard error."""
    if console.is_terminal:
        return BarProgress(console)
    return LineProgress(lambda line: console.print(line, markup=False, highlight=False, soft_wrap=True))


def _clock_face(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
