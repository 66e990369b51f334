"""What poison costs its neighbours: streams with and without 1 % of it, in turn, in one run, and nothing is lost.

    python -m benchmarks.poison                        # embedded broker
    python -m benchmarks.poison --bootstrap HOST:PORT

The null encoder gives every input the same numbers, so the path is all there is. One request in a hundred is at
fault, in one of five ways. A round is timed until everything that can be answered is; then the dead letters are read.
The benchmark fails when a neighbour is not answered, or when a dead letter is missing, too many, or not what was
sent, byte for byte. Linux only.
"""

from __future__ import annotations

import time
import uuid
from collections import Counter
from functools import partial
from itertools import islice
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Final, NamedTuple

import orjson

from transport.bounded_reader import BoundedReader

from .command import measuring, parser
from .processes import cpu_seconds
from .services import MODEL, Broker, start_worker
from .topic_to_topic import TopicToTopic
from .turns import in_turn

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from schemas.topics import TopicNames

_TEXT: Final = "How do I read a file line by line?"
_EVERY: Final = 100
_ANSWERED_SECONDS: Final = 900.0


class Stream(NamedTuple):
    """Messages of one round, and what must become of them."""

    messages: list[tuple[str, bytes]]
    """Keys and values."""
    answered: dict[str, str]
    """Id -> error code, or `ok`."""
    dead: Counter[bytes]
    """Values on the dead-letter topic."""


class _Cost(NamedTuple):
    rate: float
    """Requests a second."""
    cpu: float
    """Of the worker, a request, in microseconds; says the same on a machine that does other things too."""


def make_stream(run: str, count: int, *, poisoned: bool) -> Stream:
    """So many requests, of which every hundredth is at fault if wanted.

    Args:
        run: Sets the ids of this stream apart.
        count: How many messages.
        poisoned: Whether any is at fault.
    """
    stream = Stream([], {}, Counter())
    for number in range(count):
        request_id = f"{run}/{number}"
        body: dict[str, object] = {"id": request_id, "model": MODEL, "input": _TEXT, "encoding_format": "base64"}
        value, code = orjson.dumps(body), "ok"
        if poisoned and number % _EVERY == _EVERY // 2:
            value, code = _poison(number // _EVERY, body)
            stream.dead[value] += 1
        if code:
            stream.answered[request_id] = code
        stream.messages.append((request_id, value))
    return stream


def _poison(kind: int, body: dict[str, object]) -> tuple[bytes, str]:
    """A request at fault, and the code that it is answered with; empty: it cannot be answered."""
    match kind % 5:
        case 0:
            return b"\xff not JSON, of " + str(body["id"]).encode(), ""
        case 1:
            return orjson.dumps([body]), ""
        case 2:
            return orjson.dumps(body | {"model": "nobody-serves-this"}), "model_not_found"
        case 3:
            return orjson.dumps(body | {"input": [_TEXT, ""]}), "invalid_request"
        case _:
            return orjson.dumps(body | {"dimensions": 7}), "invalid_request"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, and write the result."""
    wanted = parser(__doc__, rounds=3, broker=True)
    wanted.add_argument("--requests", type=int, default=100_000, help="of one round")
    options = wanted.parse_args(arguments)
    # The worker's line for each dead letter is part of the price, and would flood a terminal.
    with TemporaryFile() as log, measuring("poison", options) as (results, leaving):
        broker = Broker(leaving, options.bootstrap)
        results.detail("broker", broker.name)
        topics = broker.topics()
        worker = start_worker(leaving, broker, topics, "--encoder", "null", log=log)
        over_topics = leaving.enter_context(TopicToTopic(broker, topics.requests, topics.responses))

        def side(count: int, *, poisoned: bool) -> Callable[[], _Cost]:
            return partial(_measure, broker, topics, over_topics, worker.pid, count, poisoned=poisoned)

        for poisoned in (False, True):
            side(options.requests // 10 + _EVERY, poisoned=poisoned)()
        sides = {name: side(options.requests, poisoned=name == "poisoned") for name in ("clean", "poisoned")}
        measured = in_turn(sides, options.rounds)
        for key in ("rate", "cpu"):
            poisoned_ones, clean_ones = (
                [getattr(one, key) for one in measured[name]] for name in ("poisoned", "clean")
            )
            results.compare(key, poisoned_ones, clean_ones)


def _measure(
    broker: Broker, topics: TopicNames, over_topics: TopicToTopic, pid: int, count: int, *, poisoned: bool
) -> _Cost:
    stream = make_stream(uuid.uuid4().hex[:8], count, poisoned=poisoned)
    letters = DeadLetters(broker, topics)
    used, started_at = cpu_seconds(pid), time.perf_counter()
    answered = _exchange(broker, over_topics, stream)
    taken, used = time.perf_counter() - started_at, cpu_seconds(pid) - used
    # Not timed: the other side has no second topic to read.
    dead = letters.until(stream.dead.total())
    check(stream, answered, dead)
    return _Cost(count / taken, used / count * 1e6)


def _exchange(broker: Broker, over_topics: TopicToTopic, stream: Stream) -> dict[str, str]:
    """Publish the stream and read until all that can be answered is; id -> code, or `ok`.

    Raises:
        SystemExit: Responses stay out, or one comes twice.
    """
    waiting, sent = iter(stream.messages), 0
    answered: dict[str, str] = {}
    until = time.monotonic() + _ANSWERED_SECONDS
    while len(answered) < len(stream.answered) or sent < len(stream.messages):
        room = min(len(stream.messages), broker.most_outstanding + len(answered)) - sent
        sent += over_topics.publish(islice(waiting, room))
        if time.monotonic() > until:
            raise SystemExit(f"{len(stream.answered) - len(answered)} responses stay out")
        for value in over_topics.answers():
            response = orjson.loads(value)
            if response["id"] in answered:
                raise SystemExit(f"{response['id']} is answered twice")
            answered[response["id"]] = response["error"]["code"] if "error" in response else "ok"
    return answered


class DeadLetters:
    """What comes on the dead-letter topic from now on.

    Args:
        broker: Where it is.
        topics: Its names.
    """

    def __init__(self, broker: Broker, topics: TopicNames) -> None:
        self._cluster, self._topic = broker.cluster, topics.dead_letters
        self._partitions = range(self._cluster.topics()[self._topic])
        with BoundedReader(self._cluster, self._topic, self._partitions) as reader:
            self._next = dict(reader.ends)

    def until(self, count: int) -> Counter[bytes]:
        """Values, once there are as many as there must be, and all that are there by then.

        Raises:
            SystemExit: Some stay out.
        """
        found: Counter[bytes] = Counter()
        until = time.monotonic() + _ANSWERED_SECONDS
        while True:
            with BoundedReader(self._cluster, self._topic, self._partitions, starts=self._next) as reader:
                found.update(message.value or b"" for message in reader)
                self._next = dict(reader.ends)
            if found.total() >= count:
                return found
            if time.monotonic() > until:
                raise SystemExit(f"{count - found.total()} dead letters stay out")


def check(stream: Stream, answered: dict[str, str], dead: Counter[bytes]) -> None:
    """Hold what came of a stream against what must.

    Raises:
        SystemExit: Anything is missing, too many, or other than it was sent.
    """
    wrong = [request_id for request_id, code in stream.answered.items() if answered.get(request_id) != code]
    strangers = answered.keys() - stream.answered.keys()
    if wrong or strangers:
        raise SystemExit(f"{len(wrong)} answers are missing or wrong, {len(strangers)} are of nobody: {wrong[:3]}")
    if dead != stream.dead:
        missing, extra = (stream.dead - dead).total(), (dead - stream.dead).total()
        raise SystemExit(f"{missing} dead letters are missing, {extra} are none of these")


if __name__ == "__main__":
    main()
