"""The run of `embed`: a file in, one embedding a row out, in input order, resumable at any point."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pydantic import ValidationError

from .destination import check_destination
from .errors import EmbedError
from .feed import Feed
from .flow import Window, in_order
from .grouping import group_rows
from .isolation import Isolation, request_body
from .options import is_regular
from .readers.selection import open_reader

if TYPE_CHECKING:
    from collections.abc import Callable

    from .embedder import Embed
    from .grouping import Group
    from .isolation import GroupResult
    from .options import EmbedOptions
    from .output import Output
    from .progress import Progress
    from .readers.reader import Reader
    from .rows import BadRow

_GROUPS_AHEAD: Final = 16
_NOTED_ROWS: Final = 10
"""Bad rows shown one by one; the errors file has all of them."""


@dataclass(frozen=True, slots=True)
class EmbedSummary:
    """What a run did; the counts are of the whole output, earlier runs that it resumed included."""

    rows: int
    embedded: int
    failed: int
    tokens: int
    resumed: int
    """Rows of `rows` that an earlier run had done."""
    seconds: float
    """Of this run alone."""


async def embed_file(
    options: EmbedOptions,
    embed: Embed,
    progress: Progress,
    *,
    clock: Callable[[], float] = time.monotonic,
) -> EmbedSummary:
    """Embed every row of a file.

    Cancelled or failed, it leaves every finished row before the gap durable, for `--resume` to continue.
    Standard input is read by a thread that cannot be interrupted; it does not keep the process alive.

    Raises:
        EmbedError: One line that names the next move.
    """
    started_at = clock()
    reader = open_reader(options)
    _check_request_options(options)
    destination = check_destination(options)
    total = await asyncio.to_thread(reader.count) if is_regular(options.input_path) else None
    output = destination.open(reader, clock)
    before = output.position
    resumed = before.embedded + before.failed
    progress.start(f"embedding {options.input_path}", total, resumed)
    try:
        await _run(options, reader, embed, output, progress)
    except BaseException:
        if output.position.row == 0:
            destination.discard()
        raise
    finally:
        progress.finish()
        output.close()
    after = output.position
    rows = after.embedded + after.failed
    return EmbedSummary(rows, after.embedded, after.failed, after.tokens, resumed, clock() - started_at)


async def _run(options: EmbedOptions, reader: Reader, embed: Embed, output: Output, progress: Progress) -> None:
    feed = Feed(group_rows(reader.rows(output.position.row)), _GROUPS_AHEAD)
    isolation = Isolation(embed, options)
    noted = 0

    async def embed_group(group: Group) -> GroupResult:
        result = await isolation.embed_group(group)
        # Told here: what is written waits for the groups before it, which may come last.
        progress.advance(len(result.outcomes), result.tokens)
        return result

    try:
        async with aclosing(in_order(feed, embed_group, Window())) as results:
            async for result in results:
                failed = output.take(result)
                progress.advance(0, 0, len(failed))
                for bad in failed[: max(0, _NOTED_ROWS - noted)]:
                    progress.note(_note(bad))
                if noted < _NOTED_ROWS <= noted + len(failed):
                    progress.note(f"further bad rows are in {options.errors_file} only")
                noted += len(failed)
                output.checkpoint_if_due()
    except (Exception, asyncio.CancelledError):  # not KeyboardInterrupt, which may fall between two writes
        output.checkpoint()
        raise
    finally:
        feed.close()
    for _ in output.finish():
        await asyncio.sleep(0)
    progress.set_total(output.position.embedded + output.position.failed)


def _check_request_options(options: EmbedOptions) -> None:
    try:
        request_body(options, ["a text"])
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]).replace("_", "-")
        raise EmbedError(f"--{name} {first['input']}: {first['msg']}") from None


def _note(bad: BadRow) -> str:
    where = f"row {bad.number}" if bad.line in (None, bad.number) else f"row {bad.number} (line {bad.line})"
    return f"{where}: {bad.reason}"
