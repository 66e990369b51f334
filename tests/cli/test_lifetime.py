from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest
from confluent_kafka import Consumer, TopicPartition

from schemas.codec import decode_beat
from schemas.topics import Lane, TopicNames
from tests.stack.command import Command
from tests.stack.waiting import wait_until
from transport.producer import DeliveringProducer
from transport.reader import PartitionReader

if TYPE_CHECKING:
    from tests.stack.stack import Stack

_STOPS = """
import sys, time
from cli.lifetime import stop_on_signal
stop = stop_on_signal()
print("waiting", file=sys.stderr)
stop.wait()
print("draining", file=sys.stderr)
time.sleep(60)
"""

_PARENT = """
import os, sys
from cli.children import Child
theirs, ours = os.pipe()
child = Child("child", sys.argv[1:], theirs, print)
os.read(os.pipe()[0], 1)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_first_signal_asks_to_stop_and_the_second_ends_at_once(number: signal.Signals) -> None:
    with Command(script=_STOPS) as process:
        process.wait_for("waiting")
        process.signal(number)
        process.wait_for("draining")
        assert process.is_running

        process.signal(number)

        assert process.wait(5) == 128 + number


@pytest.mark.parametrize("command", ["api", "worker"])
def test_a_child_stops_when_its_parent_is_killed(new_stack: Stack, command: str) -> None:
    port = ["--port", "0"] if command == "api" else ["--encoder", "null"]
    with Command(command, "--bootstrap", new_stack.bootstrap, *port, script=_PARENT) as parent:
        parent.wait_for('"connected"' if command == "api" else '"ready"')

        parent.kill()

        parent.wait_for_everyone(10)
        assert "the process that started this one is gone" in parent.stderr
        assert "Traceback" not in parent.stderr


@pytest.mark.slow
def test_a_worker_told_to_stop_answers_what_it_has_read_and_says_goodbye(new_stack: Stack) -> None:
    names = TopicNames()
    count = 20_000
    worker = new_stack.start_worker("--encoder", "null")
    worker.wait_for('"ready"')
    cluster = new_stack.cluster()
    producer = DeliveringProducer(cluster, "test", linger_ms=5)
    responses = PartitionReader(cluster, names.responses, range(cluster.topics()[names.responses]))
    beats = PartitionReader(cluster, names.workers, [0], back=100)
    worker.pause()
    for number in range(count):
        value = b'{"model": "all-MiniLM-L6-v2", "input": "x", "encoding_format": "base64"}'
        producer.produce(names.requests, key=f"{number}".encode(), value=value, on_delivery=lambda _: None)
    worker.resume()
    answered: list[bytes | None] = []

    def some_are_answered() -> bool:
        answered.extend(message.key for message in responses.poll(1000, 0.1))
        return bool(answered)

    wait_until(some_are_answered, "a first response")
    worker.signal(signal.SIGTERM)

    assert worker.wait(20) == 0, worker.quote()
    assert "drain timed out" not in worker.stderr
    while more := responses.poll(10_000, 1.0):
        answered.extend(message.key for message in more)
    assert producer.flush(10) == 0
    producer.close()
    assert len(answered) < count, "the stop came too late to say anything"
    assert len(answered) == len(set(answered)) == _committed(new_stack, names.requests, names.group(Lane.BULK))
    said = beats.poll(1000, 5)
    assert said[-1].value is None
    assert said[-1].key in {message.key for message in said if message.value and decode_beat(message.value)}
    for reader in (responses, beats):
        reader.close()


def _committed(stack: Stack, topic: str, group: str) -> int:
    """Messages of a topic that its group has done with."""
    consumer = Consumer({"bootstrap.servers": stack.bootstrap, "group.id": group})
    partitions = [TopicPartition(topic, number) for number in range(stack.cluster().topics()[topic])]
    try:
        return sum(max(0, where.offset) for where in consumer.committed(partitions, timeout=10))
    finally:
        consumer.close()


def test_an_end_that_hangs_is_ended_from_outside_python_with_a_trace_of_every_thread() -> None:
    script = """
import atexit, sys, time
from cli.lifetime import leave_within
atexit.register(time.sleep, 60)
leave_within(0.2)
sys.exit(7)
"""
    with Command(script=script) as process:
        assert process.wait() == 1
        assert "Timeout" in process.stderr
        assert "Thread" in process.stderr
