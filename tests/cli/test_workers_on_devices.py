"""`worker --devices`: one process a device, from one command."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from client.workers import WorkersView
from schemas.topics import TopicNames
from tests.stack.command import Command, run_command
from tests.stack.waiting import wait_until
from transport.producer import DeliveringProducer
from transport.reader import PartitionReader

if TYPE_CHECKING:
    from collections.abc import Iterator

    from schemas.beats import Beat
    from tests.stack.stack import Stack

REQUESTS = 20_000
TWO_CPUS = ("--encoder", "null", "--devices", "cpu,cpu")


@pytest.fixture
def view(new_stack: Stack) -> Iterator[WorkersView]:
    """The beats on a stack of the test's own."""
    view = WorkersView(new_stack.cluster(), TopicNames())
    yield view
    view.close()


def _two_ready(view: WorkersView, worker: Command, without: int | None = None) -> list[Beat]:
    """Wait for two ready workers, the process `without` not among them."""

    def ready() -> list[Beat]:
        view.refresh(0.05)
        return [beat for beat in view.ready() if _pid(beat) != without]

    wait_until(lambda: len(ready()) == 2, "two ready workers", explain=worker.quote)
    return ready()


def _pid(beat: Beat) -> int:
    """Of a worker's process: its id is `host-pid-random`."""
    return int(beat.worker_id.split("-")[-2])


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_both_work_one_killed_is_replaced_all_is_answered_and_a_stop_drains_both(
    new_stack: Stack, view: WorkersView
) -> None:
    names = TopicNames()
    worker = new_stack.start_worker(*TWO_CPUS)
    first, second = _two_ready(view, worker)
    assert {_pid(first), _pid(second)} == set(_children(worker.pid))
    assert first.worker_id != second.worker_id

    # One is killed in the middle of the work.
    cluster = new_stack.cluster()
    producer = DeliveringProducer(cluster, "test", linger_ms=5)
    responses = PartitionReader(cluster, names.responses, range(cluster.topics()[names.responses]))
    answered: set[bytes | None] = set()

    def answers(count: int) -> bool:
        answered.update(message.key for message in responses.poll(10_000, 0.1))
        return len(answered) >= count

    value = b'{"model": "all-MiniLM-L6-v2", "input": "x", "encoding_format": "base64"}'
    for number in range(REQUESTS):
        producer.produce(names.requests, key=f"{number}".encode(), value=value, on_delivery=lambda _: None)
    wait_until(lambda: answers(1), "a first answer", explain=worker.quote)
    os.kill(_pid(first), signal.SIGKILL)
    assert not answers(REQUESTS), "the kill came too late to say anything"

    # Another takes its place, and nothing is missing.
    worker.wait_for("the worker [12] on cpu was killed by SIGKILL, starting it again")
    wait_until(lambda: answers(REQUESTS), "all answers", within_seconds=60, explain=worker.quote)
    assert answered == {f"{number}".encode() for number in range(REQUESTS)}
    _two_ready(view, worker, without=_pid(first))

    # A stop is for both.
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 0, worker.quote()
    assert worker.stderr.count('"event": "draining"') == 2
    wait_until(lambda: view.refresh(0.05) or not [b for b in view.live() if _pid(b) != _pid(first)], "two goodbyes")
    assert worker.own_lines == []
    assert producer.flush(10) == 0
    producer.close()
    responses.close()


def test_one_that_keeps_dying_takes_the_command_down_which_names_it(new_stack: Stack) -> None:
    with Command("worker", "--bootstrap", new_stack.bootstrap, *TWO_CPUS) as worker:
        killed: set[int] = set()
        wait_until(lambda: len(_children(worker.pid)) == 2, "two processes", explain=worker.quote)
        survivor = _children(worker.pid)[0]
        while len(killed) < 6:
            wait_until(
                lambda: bool(set(_children(worker.pid)) - killed - {survivor}), "the next one", explain=worker.quote
            )
            (victim,) = set(_children(worker.pid)) - killed - {survivor}
            os.kill(victim, signal.SIGKILL)
            killed.add(victim)

        assert worker.wait() == 1, worker.quote()

    assert worker.own_lines == [
        "kafka-embeddings: the worker 2 on cpu was killed by SIGKILL and keeps failing: see its message above"
    ]


def test_settings_that_cannot_work_stop_the_command_with_the_workers_own_line_and_status(new_stack: Stack) -> None:
    status, worker = run_command("worker", "--bootstrap", new_stack.bootstrap, *TWO_CPUS, "--prefix", "elsewhere")

    assert status == 2, worker.quote()
    assert worker.own_lines[0].startswith("kafka-embeddings: no topic elsewhere.")
    assert worker.own_lines[-1].startswith("kafka-embeddings: the worker ")
    assert worker.own_lines[-1].endswith(" on cpu exited with status 2: see its message above")


@pytest.mark.model
@pytest.mark.slow
def test_a_device_that_is_not_there_stops_the_command_and_the_worker_on_the_other(new_stack: Stack) -> None:
    status, worker = run_command(
        "worker", "--bootstrap", new_stack.bootstrap, "--devices", "cpu,cuda:99", within_seconds=120
    )

    assert status == 2, worker.quote()
    first, *_, last = worker.own_lines
    assert first.startswith("kafka-embeddings: ")
    assert last == "kafka-embeddings: the worker on cuda:99 exited with status 2: see its message above"


def test_killed_with_9_it_takes_its_workers_along(new_stack: Stack, view: WorkersView) -> None:
    worker = new_stack.start_worker(*TWO_CPUS)
    _two_ready(view, worker)

    worker.kill()

    worker.wait_for_everyone(10)
    assert worker.stderr.count("the process that started this one is gone, stopping") == 2


def test_one_device_is_served_by_the_command_itself(new_stack: Stack, view: WorkersView) -> None:
    worker = new_stack.start_worker("--encoder", "null", "--devices", "cpu")
    worker.wait_for('"ready"')

    view.refresh(1.0)

    assert [_pid(beat) for beat in view.live()] == [worker.pid]
    assert _children(worker.pid) == []


_STARTS = """
import json, sys
from cli import workers_on_devices
from cli.main import run

class Started:
    def __init__(self, name, arguments, parent_pipe, say):
        print(json.dumps([name, arguments]))

workers_on_devices.Child = Started
workers_on_devices.stop_children = lambda *_: []
workers_on_devices.log.info = lambda *_, **__: sys.exit(int("torch" in sys.modules))
run()
"""


@pytest.mark.parametrize(
    ("flags", "environment", "started"),
    [
        (
            ["--devices", "cuda:0,cuda:1", "--threads", "3"],
            {},
            {"worker on cuda:0": ["cuda:0", "3"], "worker on cuda:1": ["cuda:1", "3"]},
        ),
        (
            ["--devices", "cuda:0,cuda:1", "--threads", "3", "--metrics-port", "9464"],
            {},
            {
                "worker on cuda:0": ["cuda:0", "3", "--metrics-port", "9464"],
                "worker on cuda:1": ["cuda:1", "3", "--metrics-port", "9465"],
            },
        ),
        (
            ["--devices", "cuda:0,cuda:1", "--threads", "3", "--metrics-port", "0"],
            {},
            {"worker on cuda:0": ["cuda:0", "3"], "worker on cuda:1": ["cuda:1", "3"]},
        ),
        (
            [],
            {"KAFKA_EMBEDDINGS_DEVICES": '["cpu", "cuda:1", "cpu"]', "KAFKA_EMBEDDINGS_MODEL__THREADS": "5"},
            {"worker 1 on cpu": ["cpu", "5"], "worker on cuda:1": ["cuda:1", "5"], "worker 2 on cpu": ["cpu", "5"]},
        ),
    ],
    ids=["flags", "a port for each", "any port", "environment"],
)
def test_each_process_gets_the_whole_command_line_with_its_device_and_share_and_none_imports_torch(
    flags: list[str], environment: dict[str, str], started: dict[str, list[str]]
) -> None:
    status, command = run_command("worker", "--prefix", "p", *flags, environment=environment, script=_STARTS)

    assert status == 0, command.quote()
    for line in command.stdout.splitlines():
        name, arguments = json.loads(line)
        device, threads, *others = started.pop(name)
        assert arguments == ["worker", "--prefix", "p", *flags, "--devices", device, "--threads", threads, *others]
    assert started == {}


def test_several_workers_are_not_given_one_name_in_their_group() -> None:
    status, command = run_command("worker", "--devices", "cpu,cpu", "--kafka", "group.instance.id=one")

    assert status == 2
    assert command.own_lines[-1].startswith("kafka-embeddings: group.instance.id names one worker: ")


def test_a_device_given_by_flag_wins_over_devices_of_the_environment(new_stack: Stack) -> None:
    worker = new_stack.start_worker(
        "--encoder", "null", "--device", "cpu", environment={"KAFKA_EMBEDDINGS_DEVICES": '["cpu", "cpu"]'}
    )
    worker.wait_for('"ready"')

    assert _children(worker.pid) == []
