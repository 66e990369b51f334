"""A worker, watched from outside through its whole life: probes, numbers, log, and what it does when it is stuck."""

from __future__ import annotations

import json
import signal
from contextlib import closing
from typing import TYPE_CHECKING, Any, Final

import pytest
from confluent_kafka.admin import AdminClient

from schemas import headers as names
from schemas.headers import encode_partition
from schemas.topics import Lane
from tests.stack.command import Command
from tests.stack.probes import Probes
from tests.stack.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from .place import Place

MODEL: Final = "all-MiniLM-L6-v2"
SECRET: Final = "violet-armadillo"

_WAITS: Final = """
import sys
from pathlib import Path
from threading import Event

import worker.beats, worker.encoder.null, worker.pipeline

gates = Path(sys.argv.pop(1))

def gated(name, call):
    def waiting(*arguments):
        while not (gates / name).exists():
            Event().wait(0.02)
        return call(*arguments)
    return waiting

worker.pipeline.load_model = gated("load", worker.pipeline.load_model)
worker.encoder.null.NullEncoder.encode = gated("encode", worker.encoder.null.NullEncoder.encode)
worker.beats.Beats.stop = gated("end", worker.beats.Beats.stop)

from cli.main import run

run()
"""
"""A worker that waits at three points of its life until a file is there."""


class Gates:
    """What lets a waiting worker go on."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def open(self, *gates: str) -> None:
        for gate in gates:
            (self.folder / gate).touch()


@pytest.fixture
def gates(tmp_path: Path) -> Gates:
    return Gates(tmp_path)


@pytest.fixture
def start(gates: Gates) -> Iterator[Callable[..., tuple[Command, Probes]]]:
    """Starts workers with a port; whatever still runs at the end is killed."""
    started: list[tuple[Command, Probes]] = []

    def start(place: Place, *flags: str, waits: bool = False) -> tuple[Command, Probes]:
        given = ("worker", *place.flags, "--encoder", "null", "--metrics-port", "0", *flags)
        command = Command(str(gates.folder), *given, script=_WAITS) if waits else Command(*given)
        started.append((command, Probes(command)))
        return started[-1]

    yield start
    for command, probes in started:
        command.kill()
        probes.close()


def events(command: Command, event: str) -> list[dict[str, Any]]:
    """The lines of its log about one event."""
    lines = [json.loads(line) for line in command.stderr.splitlines() if line.startswith("{")]
    return [line for line in lines if line["event"] == event]


def send(place: Place, *numbers: int, lane: Lane = Lane.BULK) -> None:
    for number in numbers:
        place.send({"id": f"r{number}", "model": MODEL, "input": "a"}, key=f"k{number}".encode(), lane=lane)
    place.flush()


def members(place: Place, lane: Lane) -> int:
    group = place.topics.group(lane)
    admin = AdminClient({"bootstrap.servers": place.bootstrap, "log_level": 0})
    return len(admin.describe_consumer_groups([group])[group].result(timeout=10).members)


@pytest.mark.slow
def test_probes_and_numbers_tell_the_truth_from_loading_to_the_end_of_the_drain(
    kafka_place: Place, start: Callable[..., tuple[Command, Probes]], gates: Gates
) -> None:
    place = kafka_place
    command, probes = start(place, waits=True)

    wait_until(lambda: probes.ready.message == "the model is loading", "loading", 30, command.quote)
    assert (probes.ready.status, probes.live.status) == (503, 200)
    gates.open("load")
    probes.wait_until_ready()
    assert members(place, Lane.BULK) == members(place, Lane.INTERACTIVE) == 1

    send(place, 0, 1, 2)
    wait_until(lambda: probes.total("in_flight_requests") == 3, "three requests under way", 30, command.quote)
    wait_until(lambda: probes.total("lag_messages", lane="bulk") == 3, "the lag of three", 30, command.quote)
    assert probes.total("watermark_gap_messages", lane="bulk") == 3
    assert probes.total("oldest_unanswered_seconds", lane="bulk") > 0
    assert probes.total("oldest_unanswered_seconds", lane="interactive") == 0
    assert (probes.ready.status, probes.live.status) == (200, 200)

    command.signal(signal.SIGTERM)
    wait_until(lambda: probes.ready == (503, "draining"), "draining", 30, command.quote)
    assert probes.live == (200, "live")
    assert set(place.committed(Lane.BULK).values()) <= {0}

    gates.open("encode")
    wait_until(lambda: members(place, Lane.BULK) == 0, "the group left", 30, command.quote)
    # It has let go of its partitions and still says that it lives and is not to be given work.
    assert (probes.ready, probes.live) == ((503, "draining"), (200, "live"))
    gates.open("end")
    assert command.wait() == 0
    assert probes.is_gone
    assert sum(place.committed(Lane.BULK).values()) == 3
    with closing(place.reader(place.topics.responses)) as reader:
        assert {message.key for message in reader.until_count(3)} == {b"r0", b"r1", b"r2"}


@pytest.mark.slow
def test_a_second_signal_ends_a_drain_at_once_and_commits_nothing_unanswered(
    kafka_place: Place, start: Callable[..., tuple[Command, Probes]], gates: Gates
) -> None:
    place = kafka_place
    gates.open("load")
    command, probes = start(place, waits=True)
    probes.wait_until_ready()
    send(place, 0)
    wait_until(lambda: probes.total("in_flight_requests") == 1, "a request under way", 30, command.quote)

    command.signal(signal.SIGTERM)
    wait_until(lambda: probes.ready.message == "draining", "draining", 30, command.quote)
    command.signal(signal.SIGTERM)

    assert command.wait(10) == 128 + signal.SIGTERM
    assert probes.is_gone
    assert set(place.committed(Lane.BULK).values()) <= {0}


@pytest.mark.slow
def test_a_request_of_which_nothing_gets_done_is_named_and_ends_the_worker_without_a_commit(
    kafka_place: Place, start: Callable[..., tuple[Command, Probes]], gates: Gates
) -> None:
    place = kafka_place
    gates.open("load")
    command, probes = start(place, "--stuck-after", "1", waits=True)
    probes.wait_until_ready()
    place.send({"id": "held", "model": MODEL, "input": SECRET}, key=b"doc-9", partition=5)
    place.flush()

    wait_until(lambda: probes.live.status == 503, "a worker that does not live", 30, command.quote)
    assert probes.live.message == probes.ready.message == "a request is stuck"
    gates.open("end")
    assert command.wait() == 1

    (stuck,) = events(command, "request stuck, stopping without committing it")
    assert (stuck["request_id"], stuck["key"], stuck["topic"]) == ("held", "doc-9", place.topics.requests)
    assert (stuck["partition"], stuck["offset"], stuck["lane"], stuck["where"]) == (5, 0, "bulk", "encoder")
    assert any("waiting" in calls for calls in stuck["threads"].values())
    assert SECRET not in command.stderr
    (line,) = command.own_lines
    assert "5:0" in line
    assert set(place.committed(Lane.BULK).values()) <= {0}


# --- what is logged, and what is not ----------------------------------------------------------------------

_QUOTES: Final = """
import worker.encoder.null

def quotes(self, texts, truncations, prefixes=None, then=worker.encoder.null.NullTokenizer.tokenize):
    if any("quote me" in text for text in texts):
        raise LookupError(f"no token for {texts}")
    return then(self, texts, truncations, prefixes)

worker.encoder.null.NullTokenizer.tokenize = quotes

def refuses(self, batch, dims, unpooled=(), then=worker.encoder.null.NullEncoder.encode):
    if any(len(ids) == 77 for ids in batch):
        raise RuntimeError("no such kernel")
    return then(self, batch, dims, unpooled)

worker.encoder.null.NullEncoder.encode = refuses

from cli.main import run

run()
"""


def _bad(**fields: Any) -> dict[str, Any]:
    return {"model": MODEL, "input": f"{SECRET} text", "metadata": {"note": SECRET}} | fields


_FAILURES: Final[dict[str, tuple[bytes | dict[str, Any], list[tuple[str, bytes]]]]] = {
    "not_json": (f'{{"input": "{SECRET}'.encode(), []),
    "model_not_found": (_bad(id="f1", model="no-such"), []),
    "invalid_request": (_bad(id="f2", dimensions=7), []),
    "context_length_exceeded": (_bad(id="f3", input=f"{SECRET} " * 400, truncate="NONE"), []),
    "timeout": (_bad(id="f4"), [(names.DEADLINE, b"1")]),
    "destination_not_allowed": (_bad(id="f5"), [(names.REPLY_TOPIC, SECRET.encode())]),
    "destination_unknown": (
        _bad(id="f6"),
        [(names.REPLY_TOPIC, b""), (names.REPLY_PARTITION, encode_partition(999))],
    ),
    "internal_error": (_bad(id="f7", input=SECRET + "x" * (74 * 4 - len(SECRET))), []),
    "no_id": ({"model": MODEL, "input": SECRET}, []),
}


@pytest.mark.slow
def test_every_failure_is_logged_with_id_key_and_place_and_counted_and_never_with_its_text(
    kafka_place: Place, start_worker: Callable[..., Any]
) -> None:
    place = kafka_place
    flags = ["--encoder", "null", "--max-tokens", "100", "--metrics-port", "0", "--log-level", "debug"]
    worker = start_worker(place, *flags, script=_QUOTES)
    expected = dict.fromkeys(_FAILURES, 1.0)
    for number, (code, (value, headers)) in enumerate(_FAILURES.items()):
        given = [(name, text or f"{place.topics.prefix}.replies".encode()) for name, text in headers]
        key = None if code == "no_id" else f"key-{code}".encode()
        place.send(value, key=key, headers=given, partition=number)
    place.send(None, key=b"gone", partition=20)
    place.send(_bad(id="good"), key=b"good", headers=[(names.DEADLINE, b"soon")], partition=21)
    place.flush()

    with closing(Probes(worker.command)) as probes:

        def over() -> float:
            return probes.total("requests_total", lane="bulk")

        wait_until(lambda: over() == len(_FAILURES) + 2, "all requests over", 60, worker.command.quote)
        told = probes.metrics()
        failed = {
            series.split('code="')[1].split('"')[0]: number
            for series, number in told.items()
            if series.startswith("failed_requests_total{") and 'lane="bulk"' in series and number
        }
        assert failed == expected
        assert probes.total("dead_letters_total") == len(_FAILURES) - 1
        assert probes.total("dead_letters_total", code="timeout") == 0
        assert told['requests_total{lane="bulk",outcome="answered"}'] == 1
        assert told['requests_total{lane="bulk",outcome="tombstone"}'] == 1
        assert told['malformed_headers_total{header="deadline"}'] == 1
        assert told['inputs_total{lane="bulk"}'] == 1
        assert probes.total("failed_batches_total") >= 1
        assert SECRET not in str(told)

    letters = {line["code"]: line for line in events(worker.command, "dead letter")}
    assert set(letters) == set(_FAILURES) - {"timeout"}
    for number, code in enumerate(_FAILURES):
        if code == "timeout":
            continue
        letter = letters[code]
        assert letter["key"] == (None if code == "no_id" else f"key-{code}")
        assert (letter["topic"], letter["partition"], letter["offset"]) == (place.topics.requests, number, 0)
        known = _FAILURES[code][0]
        # Where it goes is looked at before it is decoded.
        decoded = isinstance(known, dict) and code != "destination_not_allowed"
        assert letter["request_id"] == (known.get("id") if decoded and isinstance(known, dict) else None)
    (at_fault,) = events(worker.command, "input failed in the encoder")
    assert (at_fault["request_id"], at_fault["key"]) == ("f7", "key-internal_error")

    # A stage that dies over a text, in words that quote it.
    place.send(_bad(id="last", input=f"quote me {SECRET}"), key=b"last")
    place.flush()
    assert worker.command.wait() == 1
    (line,) = worker.command.own_lines[-1:]
    assert line.startswith("kafka-embeddings: stage tokenization died of LookupError at ")
    assert SECRET not in worker.log


# --- one after another --------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_worker_replaced_by_another_while_requests_come_leaves_everything_answered_once(
    kafka_place: Place, start: Callable[..., tuple[Command, Probes]]
) -> None:
    place = kafka_place
    old, probes = start(place)
    probes.wait_until_ready()
    send(place, *range(500))
    _, probes = start(place)
    send(place, *range(500, 1000))
    probes.wait_until_ready()
    send(place, *range(1000, 1500))
    old.signal(signal.SIGTERM)
    send(place, *range(1500, 2000))
    assert old.wait() == 0, old.quote()
    with closing(place.reader(place.topics.responses)) as reader:
        answers = reader.until_count(2000)
        assert {message.key for message in answers} == {f"r{number}".encode() for number in range(2000)}
        assert len(reader.up_to_now()) == 2000


@pytest.mark.slow
def test_a_port_that_is_taken_ends_the_worker_with_2_and_the_flag_to_change(
    kafka_place: Place, start: Callable[..., tuple[Command, Probes]]
) -> None:
    place = kafka_place
    _, probes = start(place)
    port = str(probes._http.base_url.port)

    with Command("worker", *place.flags, "--encoder", "null", "--metrics-port", port) as second:
        assert second.wait() == 2
        assert f"127.0.0.1:{port}" in second.stderr
        assert "--metrics-port" in second.stderr
