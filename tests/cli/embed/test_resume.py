from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import orjson
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cli.embed import command
from cli.embed.command import embed_file
from cli.embed.errors import EmbedderError, OutputError, ResumeError
from cli.embed.output import Output
from cli.embed.writers import parquet as parquet_writer

from .fakes import FakeEmbed, SilentProgress, options, run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cli.embed.isolation import GroupResult
    from cli.embed.rows import BadRow

ROWS = 300


def source_of(folder: Path) -> Path:
    """Rows with every kind of trouble among them."""
    source = folder / "in.jsonl"
    lines = []
    for n in range(ROWS):
        text = "BAD text" if n % 31 == 5 else f"text {n}"
        lines.append(b"not json" if n % 17 == 3 else orjson.dumps({"id": f"r{n}", "text": text, "n": n}))
        if n % 50 == 49:
            lines.append(b"")
    source.write_bytes(b"\n".join(lines))
    return source


def outcome(output: Path) -> tuple[object, bytes]:
    """The whole output, and the errors file's bytes."""
    rows: object = output.read_bytes()
    if output.suffix == ".parquet":
        rows = pq.ParquetFile(output).read().to_pylist()
    return rows, output.with_name(output.name + ".errors.jsonl").read_bytes()


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[object, bytes]]:
    folder = tmp_path_factory.mktemp("expected")
    for name in ("out.jsonl", "out.parquet"):
        run(options(source_of(folder), folder / name), FakeEmbed(refuse="BAD"))
    return {name: outcome(folder / name) for name in ("out.jsonl", "out.parquet")}


@pytest.fixture(autouse=True)
def checkpoint_after_every_group(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Output, "checkpoint_if_due", Output.checkpoint)


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.fsync", lambda descriptor: None)


class Killed(BaseException):
    """Stands for kill -9: nothing catches it to clean up."""


@pytest.mark.parametrize("name", ["out.jsonl", "out.parquet"])
@settings(max_examples=25, deadline=None)
@given(stops=st.lists(st.integers(1, 24), min_size=1, max_size=4), seed=st.integers(0, 1000))
def test_runs_that_fail_anywhere_and_resume_lose_and_repeat_nothing(
    expected: dict[str, tuple[object, bytes]], name: str, stops: list[int], seed: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        source, output = source_of(Path(folder)), Path(folder, name)
        for fail_after in stops:
            try:
                run(
                    options(source, output, resume=True),
                    FakeEmbed(seed=seed, refuse="BAD", fail_after=fail_after),
                )
            except EmbedderError:
                continue
            break
        else:
            run(options(source, output, resume=True), FakeEmbed(seed=seed, refuse="BAD"))
        assert outcome(output) == expected[name]
        assert len(list(Path(folder).iterdir())) == 3


DISK_CALLS = ((os, "fsync"), (shutil, "rmtree"), (Path, "replace"), (Path, "unlink"), (Path, "mkdir"))


class MortalDisk:
    """Lets this many touches of the disk pass; then every one of them is the death of the process."""

    def __init__(self, touches: int) -> None:
        self._left = touches

    def patch(self, patch: pytest.MonkeyPatch) -> None:
        for owner, name in DISK_CALLS:
            patch.setattr(owner, name, self._mortal(getattr(owner, name)))

    def _mortal(self, call: Callable[..., object]) -> Callable[..., object]:
        def mortal(*arguments: object, **named: object) -> object:
            self._left -= 1
            if self._left < 0:
                raise Killed
            return call(*arguments, **named)

        return mortal


def kill_points(output: Path, source: Path) -> Iterator[None]:
    """Run to the n-th touch of the disk and die there, for n = 0, 1, 2, … until a run gets through."""
    for touches in itertools.count():
        with pytest.MonkeyPatch.context() as patch:
            MortalDisk(touches).patch(patch)
            try:
                run(options(source, output), FakeEmbed(refuse="BAD"))
            except Killed:
                pass
            else:
                return
        yield
        for path in source.parent.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path != source:
                path.unlink()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["out.jsonl", "out.parquet"])
def test_killed_at_any_touch_of_the_disk_it_resumes_to_the_same_output(
    tmp_path: Path, expected: dict[str, tuple[object, bytes]], name: str
) -> None:
    source, output = source_of(tmp_path), tmp_path / name
    points = 0
    for _ in kill_points(output, source):
        points += 1
        # Killed after the journal's removal, the last step but one, there is nothing left to resume.
        complete = output.exists() and not (tmp_path / f"{name}.progress").exists()
        with pytest.raises(OutputError, match="it is complete") if complete else nullcontext():
            run(options(source, output, resume=True), FakeEmbed(refuse="BAD"))
        assert outcome(output) == expected[name]
    assert points > 20


def test_a_torn_tail_of_any_length_is_cut_off(tmp_path: Path, expected: dict[str, tuple[object, bytes]]) -> None:
    source, output = source_of(tmp_path), tmp_path / "out.jsonl"
    errors = tmp_path / "out.jsonl.errors.jsonl"
    journal = tmp_path / "out.jsonl.progress"
    with pytest.raises(EmbedderError):
        run(options(source, output), FakeEmbed(refuse="BAD", fail_after=15))
    position = orjson.loads(journal.read_bytes())["position"]
    assert 0 < position["row"] < ROWS
    kept = {path: path.read_bytes() for path in (output, errors, journal)}
    assert (len(kept[output]), len(kept[errors])) == (position["output"], position["errors_bytes"])
    rows, bad = expected["out.jsonl"]
    assert isinstance(rows, bytes)
    for torn in range(0, 250, 3):  # into the second line past what the journal counts
        for path, whole in ((output, rows), (errors, bad)):
            path.write_bytes(whole[: len(kept[path]) + torn])
        journal.write_bytes(kept[journal])
        run(options(source, output, resume=True), FakeEmbed(refuse="BAD"))
        assert outcome(output) == expected["out.jsonl"]


def test_a_resumed_run_sends_only_what_was_not_done_and_counts_the_whole(tmp_path: Path) -> None:
    source, output = source_of(tmp_path), tmp_path / "out.jsonl"
    first, second = FakeEmbed(fail_after=5), FakeEmbed()
    with pytest.raises(EmbedderError):
        run(options(source, output), first)
    done = len(output.read_bytes().splitlines())
    summary = run(options(source, output, resume=True), second)
    assert 0 < done < ROWS
    assert sum(second.texts.values()) == summary.embedded - done
    assert (summary.rows, summary.resumed > done) == (ROWS, True)
    assert summary.tokens == 2 * summary.embedded


def test_resume_with_nothing_there_starts_from_the_beginning(tmp_path: Path) -> None:
    summary = run(options(source_of(tmp_path), tmp_path / "out.jsonl", resume=True))
    assert (summary.rows, summary.resumed) == (ROWS, 0)


def interrupted(folder: Path, name: str = "out.jsonl") -> tuple[Path, Path]:
    source, output = source_of(folder), folder / name
    with pytest.raises(EmbedderError):
        run(options(source, output), FakeEmbed(fail_after=5))
    return source, output


def test_an_interrupted_output_is_not_begun_again_unasked(tmp_path: Path) -> None:
    source, output = interrupted(tmp_path)
    with pytest.raises(OutputError, match="--resume continues it, --force starts over"):
        run(options(source, output))
    assert run(options(source, output, force=True)).resumed == 0


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"model": "another"}, "--model"),
        ({"field": "n"}, "--field"),
        ({"id_field": "n"}, "--id-field"),
        ({"dimensions": 2}, "--dimensions"),
        ({"errors_path": Path("/tmp/elsewhere.jsonl")}, "--errors"),
    ],
)
def test_resume_with_other_options_is_refused_and_changes_nothing(
    tmp_path: Path, changed: dict[str, object], says: str
) -> None:
    source, output = interrupted(tmp_path)
    before = output.read_bytes()
    with pytest.raises(ResumeError, match=f"changed since the run that is to be resumed: {says}"):
        run(options(source, output, resume=True, **changed))
    assert output.read_bytes() == before


def test_resume_of_a_changed_input_is_refused(tmp_path: Path) -> None:
    source, output = interrupted(tmp_path)
    source.write_bytes(source.read_bytes() + b"\n{}")
    with pytest.raises(ResumeError, match="the input's size"):
        run(options(source, output, resume=True))


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"version":1,"settings":{},"position":{"x":1}}'])
def test_a_journal_that_cannot_be_read_is_refused(tmp_path: Path, content: bytes) -> None:
    source, output = interrupted(tmp_path)
    (tmp_path / "out.jsonl.progress").write_bytes(content)
    with pytest.raises(ResumeError, match="--force starts over"):
        run(options(source, output, resume=True))


def test_an_output_shorter_than_the_journal_says_is_refused(tmp_path: Path) -> None:
    source, output = interrupted(tmp_path)
    output.write_bytes(output.read_bytes()[:-1])
    with pytest.raises(ResumeError, match="--force starts over"):
        run(options(source, output, resume=True))


def test_a_missing_part_is_refused(tmp_path: Path) -> None:
    source, output = interrupted(tmp_path, "out.parquet")
    (tmp_path / "out.parquet.parts" / "000001.parquet").unlink()
    with pytest.raises(ResumeError, match=r"000001\.parquet is missing"):
        run(options(source, output, resume=True))


@pytest.mark.parametrize("name", ["out.jsonl", "out.parquet"])
def test_a_cancelled_run_keeps_what_was_done(
    tmp_path: Path, expected: dict[str, tuple[object, bytes]], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, output = source_of(tmp_path), tmp_path / name
    reached = asyncio.Event()
    take = Output.take

    def take_and_tell(self: Output, result: GroupResult) -> list[BadRow]:
        failed = take(self, result)
        if self.position.row >= 100:
            reached.set()
        return failed

    async def cancel_midway() -> None:
        running = asyncio.create_task(embed_file(options(source, output), FakeEmbed(refuse="BAD"), SilentProgress()))
        await reached.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    with monkeypatch.context() as patched:
        patched.setattr(Output, "take", take_and_tell)
        asyncio.run(cancel_midway())
    assert run(options(source, output, resume=True), FakeEmbed(refuse="BAD")).resumed >= 100
    assert outcome(output) == expected[name]


SLOW = """
import asyncio, sys
from pathlib import Path
from cli.embed.command import embed_file
from cli.embed.output import Output
from tests.cli.embed.fakes import FakeEmbed, SilentProgress, options
Output.checkpoint_if_due = Output.checkpoint
class Slow(FakeEmbed):
    async def __call__(self, body, request_id):
        await asyncio.sleep(0.01 * int(body.inputs[0][5:] if body.inputs[0][5:].isdigit() else 0) / 10)
        return await super().__call__(body, request_id)
given = options(Path(sys.argv[1]), Path(sys.argv[2]), resume=True)
asyncio.run(embed_file(given, Slow(refuse="BAD"), SilentProgress()))
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["out.jsonl", "out.parquet"])
def test_killed_with_signal_9_it_resumes_to_the_same_output(
    tmp_path: Path, expected: dict[str, tuple[object, bytes]], name: str
) -> None:
    source, output = source_of(tmp_path), tmp_path / name
    journal = tmp_path / f"{name}.progress"
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW, str(source), str(output)], cwd=Path(command.__file__).parents[2]
    )
    give_up_at = time.monotonic() + 60
    while not journal.exists() or orjson.loads(journal.read_bytes())["position"]["row"] < 60:
        assert process.poll() is None
        assert time.monotonic() < give_up_at
    process.kill()
    assert process.wait(30) == -9
    assert run(options(source, output, resume=True), FakeEmbed(refuse="BAD")).resumed >= 55
    assert outcome(output) == expected[name]


def test_parts_are_joined_into_few_row_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_writer, "_GROUP_ROWS", 100)
    run(options(source_of(tmp_path), tmp_path / "out.parquet"))
    metadata = pq.ParquetFile(tmp_path / "out.parquet").metadata
    sizes = [metadata.row_group(n).num_rows for n in range(metadata.num_row_groups)]
    assert sum(sizes) == metadata.num_rows
    assert 1 < len(sizes) < 10
    assert max(sizes) <= 100
