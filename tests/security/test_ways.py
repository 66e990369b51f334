"""Every way to be let in, with exactly the ACLs of `docs/security.md`: topics, requests over both doors, a file.

Options come by flags, by variable, by a file of options and by a file of settings, a way each. Whatever the commands
say meanwhile holds no password.
"""

from __future__ import annotations

import json
import signal
from contextlib import closing
from typing import TYPE_CHECKING, Final

import pytest
from confluent_kafka import Consumer, Producer

from tests.stack.command import Command, run_command
from tests.stack.stack import MODEL, Api

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .conftest import Guarded

_GIVEN: Final[dict[str, Callable[[Guarded, str], tuple[list[str], dict[str, str]]]]] = {
    "plain": lambda guarded, user: (guarded.by_flags(user), {}),
    "scram-256": lambda guarded, user: ([], guarded.by_environment(user)),
    "scram-512-tls": lambda guarded, user: ([], guarded.by_file(user)),
    "certificate": lambda guarded, user: (guarded.by_settings(user), {}),
}
_EXPECTED_WARNINGS: Final = {
    "cannot read a topic's configuration, so it is not checked",
    "cannot read the broker's configuration, so its limits are not checked",
    "dead letter",
}


@pytest.mark.slow
@pytest.mark.parametrize("way", _GIVEN)
def test_with_the_rights_of_the_page_everything_works_and_no_password_is_shown(
    way: str, guarded: Callable[..., Guarded], tmp_path: Path
) -> None:
    here = guarded(way)

    def command(user: str, *words: str) -> tuple[list[str], dict[str, str]]:
        flags, environment = _GIVEN[way](here, user)
        return [*words, *here.flags, *flags], environment

    make, environment = command("topics", "topics", "create")
    status, made = run_command(*make, environment=environment)
    assert status == 0, made.quote()

    work, of_worker = command("worker", "worker")
    serve, of_api = command("api", "api")
    log_all = ("--log-level", "debug")
    with (
        Command(*work, *log_all, "--encoder", "null", environment=of_worker) as worker,
        Api(*serve, *log_all, "--port", "0", environment=of_api) as api,
    ):
        worker.wait_for('"ready"')
        api.wait_until_ready()
        answer = api.http.post("/v1/embeddings", json={"model": MODEL, "input": "a text"})
        assert answer.status_code == 200, answer.text
        assert _answered(here, "doc-1") == "doc-1"
        _publish(here, b"not JSON")
        with closing(here.place.reader(here.place.topics.dead_letters)) as dead_letters:
            [letter] = dead_letters.until_count(1)
        assert letter.value == b"not JSON"

        texts, vectors = tmp_path / "texts.txt", tmp_path / "vectors.jsonl"
        texts.write_text("a first text\na second one\n")
        embed, of_embed = command("embed", "embed", str(texts), "-o", str(vectors))
        status, embedded = run_command(*embed, environment=of_embed)
        assert status == 0, embedded.quote()
        assert len(vectors.read_text().splitlines()) == 2

        warnings = {
            line["event"]
            for line in map(json.loads, filter(_is_event, [*worker.stderr.splitlines(), *api.stderr.splitlines()]))
            if line["level"] in ("warning", "error")
        }
        assert warnings <= _EXPECTED_WARNINGS, worker.quote() + api.quote()
        shown = [process.stdout + process.stderr for process in (made, worker, api, embedded)]
        shown += [api.http.get("/metrics").text, api.http.get("/v1/metadata").text]
    for password in here.broker.users.values():
        assert not [text for text in shown if password in text]


@pytest.mark.slow
def test_with_its_own_rows_a_worker_answers_in_transactions(guarded: Callable[..., Guarded]) -> None:
    here = guarded("scram-256", with_topics=True)
    flags = ["--encoder", "null", "--delivery", "exactly-once", *here.flags, *here.by_flags("worker-once")]
    with Command("worker", *flags) as worker:
        worker.wait_for('"ready"')
        assert _answered(here, "doc-1") == "doc-1"
        worker.signal(signal.SIGTERM)
        assert worker.wait() == 0, worker.quote()


def _is_event(line: str) -> bool:
    return line.startswith("{")


def _publish(here: Guarded, value: bytes) -> None:
    failures: list[object] = []
    producer = Producer({"bootstrap.servers": here.broker.address(here.way), **here.options("producer")})
    producer.produce(
        here.place.topics.requests, value, on_delivery=lambda error, _: failures.append(error) if error else None
    )
    assert producer.flush(30) == 0
    assert failures == []


def _answered(here: Guarded, request_id: str) -> str:
    """Ask as a producer does and read as a consumer does; the id of the answer."""
    _publish(here, json.dumps({"id": request_id, "model": MODEL, "input": "a text"}).encode())
    group = {"group.id": f"{here.prefix}-my-index", "auto.offset.reset": "earliest"}
    consumer = Consumer({"bootstrap.servers": here.broker.address(here.way), **group, **here.options("consumer")})
    consumer.subscribe([here.place.topics.responses])
    try:
        message = consumer.poll(30)
        assert message is not None
        assert message.error() is None
        consumer.commit(message=message, asynchronous=False)
        return str(json.loads(message.value() or b"{}")["id"])
    finally:
        consumer.close()
