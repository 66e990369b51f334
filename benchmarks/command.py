"""What the commands share: their options, and how they begin and end."""

from __future__ import annotations

import argparse
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from .recording import Results

if TYPE_CHECKING:
    from collections.abc import Iterator


def parser(
    about: str | None, *, rounds: int, texts: int | None = None, broker: bool = False
) -> argparse.ArgumentParser:
    """Options that several benchmarks have.

    Args:
        about: The module's docstring; its first line is shown.
        rounds: Default of `--rounds`.
        texts: Default of `--texts`; None: there is no such option.
        broker: Whether there is a `--bootstrap`.
    """
    options = argparse.ArgumentParser(description=about.splitlines()[0] if about else None)
    options.add_argument("--rounds", type=int, default=rounds)
    options.add_argument("--json", type=Path, help="write the result here")
    if texts is not None:
        options.add_argument("--texts", type=int, default=texts)
    if broker:
        options.add_argument("--bootstrap", help="a Kafka broker; none given: the embedded one")
    return options


@contextmanager
def measuring(benchmark: str, options: argparse.Namespace) -> Iterator[tuple[Results, ExitStack]]:
    """Collect results, end what was started, then print the machine and write everything."""
    results = Results(benchmark, vars(options))
    with ExitStack() as leaving:
        yield results, leaving
    results.write(options.json)
