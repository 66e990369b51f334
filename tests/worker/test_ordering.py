"""`worker/ordering.py`: the answers of one key leave in the order of their requests."""

from __future__ import annotations

import random
import threading
from collections import defaultdict
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from schemas.topics import Lane
from worker.ordering import KeyOrder

from .fakes import an_item

if TYPE_CHECKING:
    from worker.request import RequestInFlight

KEYS = [None, b"", b"a", b"b"]
REQUESTS = st.lists(
    st.tuples(st.sampled_from(KEYS), st.integers(0, 1), st.sampled_from(Lane)), min_size=1, max_size=30
)


def requests_of(described: list[tuple[bytes | None, int, Lane]]) -> list[RequestInFlight]:
    return [
        an_item(key=key, partition=partition, lane=lane, offset=offset)
        for offset, (key, partition, lane) in enumerate(described)
    ]


def by_key(items: list[RequestInFlight]) -> dict[object, list[int]]:
    """Offsets of each key, in the order given."""
    offsets: dict[object, list[int]] = defaultdict(list)
    for item in items:
        if item.message.key is not None:
            offsets[item.lane, item.message.partition, item.message.key].append(item.message.offset)
    return offsets


@given(described=REQUESTS, data=st.data())
def test_in_any_order_of_completion_each_key_leaves_in_offset_order_and_everything_once(
    described: list[tuple[bytes | None, int, Lane]], data: st.DataObject
) -> None:
    items = requests_of(described)
    order, out = KeyOrder(), []
    for item in items:
        order.register(item)
    for item in data.draw(st.permutations(items)):
        out.extend(order.finish(item))
    assert sorted(map(id, out)) == sorted(map(id, items))
    assert by_key(out) == by_key(items)
    assert len(order) == 0


@given(described=REQUESTS, seed=st.integers(0, 2**16))
def test_it_holds_while_requests_come_and_go(described: list[tuple[bytes | None, int, Lane]], seed: int) -> None:
    chance = random.Random(seed)
    items = requests_of(described)
    order, out = KeyOrder(), []
    coming, under_way = list(items), []
    while coming or under_way:
        if coming and (not under_way or chance.random() < 0.5):
            order.register(coming[0])
            under_way.append(coming.pop(0))
        else:
            out.extend(order.finish(under_way.pop(chance.randrange(len(under_way)))))
    assert sorted(map(id, out)) == sorted(map(id, items))
    assert by_key(out) == by_key(items)
    assert len(order) == 0


def test_a_request_whose_key_is_free_leaves_at_once() -> None:
    order = KeyOrder()
    first, other = requests_of([(b"a", 0, Lane.BULK), (b"b", 0, Lane.BULK)])
    order.register(first)
    order.register(other)
    assert order.finish(other) == [other]
    assert order.finish(first) == [first]


def test_a_delete_waits_for_the_earlier_requests_of_its_key_and_leaves_last() -> None:
    order = KeyOrder()
    long, short = an_item(key=b"doc", offset=0), an_item(key=b"doc", offset=1)
    delete = an_item(key=b"doc", offset=2, tombstone=True)
    for item in (long, short, delete):
        order.register(item)
    assert order.finish(delete) == []
    assert order.finish(short) == []
    assert len(order) == 3
    assert order.finish(long) == [long, short, delete]


def test_messages_without_key_wait_for_nobody() -> None:
    order = KeyOrder()
    first, second = requests_of([(None, 0, Lane.BULK), (None, 0, Lane.BULK)])
    order.register(first)
    order.register(second)
    assert order.finish(second) == [second]
    assert order.finish(first) == [first]
    assert len(order) == 0


def test_the_same_key_on_another_partition_or_lane_is_another_key() -> None:
    order = KeyOrder()
    items = requests_of([(b"a", 0, Lane.BULK), (b"a", 1, Lane.BULK), (b"a", 0, Lane.INTERACTIVE)])
    for item in items:
        order.register(item)
    assert [order.finish(item) for item in reversed(items)] == [[item] for item in reversed(items)]


def test_it_holds_when_several_threads_finish() -> None:
    order, out, lock = KeyOrder(), [], threading.Lock()
    items = [an_item(key=bytes([number % 3]), offset=number) for number in range(600)]
    for item in items:
        order.register(item)

    def finish(mine: list[RequestInFlight]) -> None:
        for item in mine:
            with lock:
                out.extend(order.finish(item))

    threads = [threading.Thread(target=finish, args=(items[start::4],)) for start in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert by_key(out) == by_key(items)
    assert len(out) == len(items)
