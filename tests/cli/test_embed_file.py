from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from schemas.beats import Beat, WorkerState
from schemas.codec import decode_request
from schemas.topics import Lane, TopicNames
from tests.client.stand_in_worker import DIM, StandInWorker
from tests.stack.command import Command, run_command
from tests.stack.stack import MODEL
from tests.stack.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.stack.fixtures import RunHere
    from tests.stack.stack import Stack
    from tests.transport.testbed import Testbed
    from transport.messages import Message


def _write_rows(path: Path, count: int) -> Path:
    rows = ({"id": f"r{number}", "text": f"text {number}", "n": number} for number in range(count))
    path.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    return path


def _read_rows(path: Path) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]


@pytest.mark.slow
def test_a_file_is_embedded_over_a_stack_of_its_own_and_nothing_stays_behind(tmp_path: Path) -> None:
    source = _write_rows(tmp_path / "in.jsonl", 1000)
    output = tmp_path / "out.jsonl"

    status, embed = run_command("embed", str(source), "-o", str(output), "--encoder", "null")

    assert status == 0, embed.quote()
    rows = _read_rows(output)
    assert [(row["id"], row["n"]) for row in rows] == [(f"r{n}", n) for n in range(1000)]
    assert {len(row["embedding"]) for row in rows} == {384}
    assert "text" not in rows[0]
    assert "1,000 embedded, 0 failed, " in embed.stderr
    assert str(output) in embed.stderr
    assert embed.stdout == ""
    assert {path.name for path in tmp_path.iterdir()} == {"in.jsonl", "out.jsonl"}


@pytest.mark.slow
def test_a_stack_of_its_own_follows_prefix_name_and_settings_file(tmp_path: Path) -> None:
    source = _write_rows(tmp_path / "in.jsonl", 3)
    settings = tmp_path / "settings.toml"
    settings.write_text('[worker.model]\nname = "named-in-the-file"\nencoder = "null"\n')
    arguments = ("embed", str(source), "-o", str(tmp_path / "out.jsonl"), "--prefix", "other")

    status, embed = run_command(*arguments, "--config", str(settings))

    assert status == 0, embed.quote()
    assert "3 embedded, 0 failed" in embed.stderr


def test_a_file_is_embedded_by_workers_that_run_already(null_stack: Stack, tmp_path: Path) -> None:
    source = tmp_path / "in.txt"
    source.write_text("first\nsecond\n\nthird\n")
    output = tmp_path / "out.jsonl"

    status, embed = run_command("embed", str(source), "-o", str(output), "--bootstrap", null_stack.bootstrap)

    assert status == 0, embed.quote()
    assert [row["id"] for row in _read_rows(output)] == ["1", "2", "4"]


def test_standard_output_carries_rows_and_nothing_else(null_stack: Stack, tmp_path: Path) -> None:
    source = _write_rows(tmp_path / "in.jsonl", 3)

    status, embed = run_command("embed", str(source), "-o", "-", "--bootstrap", null_stack.bootstrap)

    assert status == 0, embed.quote()
    assert [orjson.loads(line)["id"] for line in embed.stdout.splitlines()] == ["r0", "r1", "r2"]


def test_a_bad_line_is_told_with_its_number_and_the_others_go_on(null_stack: Stack, tmp_path: Path) -> None:
    source = tmp_path / "in.jsonl"
    source.write_text('{"text": "one"}\nnot json\n{"no": "text"}\n{"text": "four"}\n{"text": ""}\n')
    output = tmp_path / "out.jsonl"

    status, embed = run_command("embed", str(source), "-o", str(output), "--bootstrap", null_stack.bootstrap)

    assert status == 0, embed.quote()
    assert len(_read_rows(output)) == 2
    assert len(_read_rows(tmp_path / "out.jsonl.errors.jsonl")) == 3
    assert "2 embedded, 3 failed" in embed.stderr
    for row in (2, 3, 5):
        assert f"row {row}: " in embed.stderr
    assert f"rows that failed, each with its reason: {output}.errors.jsonl" in embed.stderr


@pytest.mark.slow
def test_interrupted_it_goes_on_with_resume_and_loses_and_repeats_nothing(new_stack: Stack, tmp_path: Path) -> None:
    count = 12_000
    source = _write_rows(tmp_path / "in.jsonl", count)
    output = tmp_path / "out.jsonl"
    arguments = ("embed", str(source), "-o", str(output), "--bootstrap", new_stack.bootstrap)
    worker = new_stack.start_worker("--encoder", "null")
    worker.wait_for('"ready"')
    with Command(*arguments) as embed:
        wait_until(
            lambda: output.exists() and output.stat().st_size > 0, "first rows in the output", explain=embed.quote
        )
        worker.pause()
        embed.signal(signal.SIGINT)

        assert embed.wait() == 130, embed.quote()
        assert embed.stderr.splitlines()[-1] == "kafka-embeddings: interrupted: continue with --resume"
        assert "Traceback" not in embed.stderr
    assert 0 < len(_read_rows(output)) < count
    worker.resume()

    without_flag, refused = run_command(*arguments)
    status, resumed = run_command(*arguments, "--resume", within_seconds=60)

    assert without_flag == 2, refused.quote()
    assert "--resume" in refused.own_lines[-1]
    assert status == 0, resumed.quote()
    assert f"{count:,} embedded, " in resumed.stderr
    assert "of them by an earlier run, 0 failed" in resumed.stderr
    assert [row["n"] for row in _read_rows(output)] == list(range(count))
    assert {path.name for path in tmp_path.iterdir()} == {"in.jsonl", "out.jsonl"}


def test_interrupted_while_it_waits_for_a_worker_it_ends_and_leaves_no_output(
    new_stack: Stack, tmp_path: Path
) -> None:
    source = _write_rows(tmp_path / "in.jsonl", 3)
    with Command(
        "embed", str(source), "-o", str(tmp_path / "out.jsonl"), "--bootstrap", new_stack.bootstrap
    ) as embed:
        embed.wait_for(f"waiting for a worker on {new_stack.bootstrap}")
        embed.signal(signal.SIGINT)

        assert embed.wait() == 130, embed.quote()
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]


@pytest.mark.slow
def test_a_reply_that_never_comes_stops_the_run_with_its_row_and_resume_does_the_rest(
    testbed: Testbed, tmp_path: Path
) -> None:
    source = _write_rows(tmp_path / "in.jsonl", 100)
    output = tmp_path / "out.jsonl"
    arguments = ("embed", str(source), "-o", str(output), "--bootstrap", testbed.cluster.settings.bootstrap)
    beat = Beat(worker_id="w1", model=MODEL, state=WorkerState.READY, dim=DIM)

    def all_but_one(worker: StandInWorker, message: Message) -> None:
        if decode_request(message.value or b"", message.key).id != "rows-33-64.1":
            worker.answer(message)

    with StandInWorker(testbed, TopicNames(), all_but_one, lane=Lane.BULK, beat=beat):
        status, embed = run_command(*arguments, "--give-up-after", "2")

    assert status == 1, embed.quote()
    line = embed.own_lines[-1]
    assert line.startswith("kafka-embeddings: no answer for 2 s, and row 33 is the first without one: ")
    assert "--resume continues" in line
    assert [row["n"] for row in _read_rows(output)] == list(range(32))

    with StandInWorker(testbed, TopicNames(), lane=Lane.BULK, beat=beat):
        status, resumed = run_command(*arguments, "--resume")

    assert status == 0, resumed.quote()
    assert [row["n"] for row in _read_rows(output)] == list(range(100))
    assert {path.name for path in tmp_path.iterdir()} == {"in.jsonl", "out.jsonl"}


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        ([], "missing.jsonl does not exist"),
        (["--format", "pdf"], "--format takes one of text, jsonl, csv, parquet, not 'pdf'"),
        (["--input-type", "document"], "--input-type takes one of query, passage, not 'document'"),
        (["--give-up-after", "0"], "--give-up-after takes seconds above 0, not 0"),
        (["--truncate", "end"], "--truncate takes one of NONE, START, END, not 'end'"),
    ],
    ids=lambda value: " ".join(value) or "missing" if isinstance(value, list) else "",
)
def test_what_cannot_be_done_is_told_in_one_line_before_anything_is_started(
    run_here: RunHere, tmp_path: Path, flags: list[str], named: str
) -> None:
    status, _, errors = run_here("embed", str(tmp_path / "missing.jsonl"), "-o", str(tmp_path / "out.jsonl"), *flags)

    assert status == 2
    [line] = errors.splitlines()
    assert line.startswith("kafka-embeddings: ")
    assert named in line
    assert list(tmp_path.iterdir()) == []


def test_an_output_that_is_there_is_told_before_anything_is_started_and_kept(
    run_here: RunHere, tmp_path: Path
) -> None:
    source = _write_rows(tmp_path / "in.jsonl", 3)
    output = tmp_path / "out.jsonl"
    output.write_text("precious")

    status, _, errors = run_here("embed", str(source), "-o", str(output))

    assert status == 2
    [line] = errors.splitlines()
    assert "--force" in line
    assert output.read_text() == "precious"


def test_a_model_that_the_running_workers_do_not_serve_is_told(null_stack: Stack, tmp_path: Path) -> None:
    source = _write_rows(tmp_path / "in.jsonl", 3)
    arguments = ("embed", str(source), "-o", str(tmp_path / "out.jsonl"), "--name", "nobodys")

    status, embed = run_command(*arguments, "--bootstrap", null_stack.bootstrap)

    assert status == 1, embed.quote()
    assert "The model 'nobodys' does not exist" in embed.own_lines[-1]
