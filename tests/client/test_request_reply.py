"""Every request ends in its own vectors or in an error that says why, on both brokers."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from pydantic import SecretStr

from client.errors import NotConnectedError
from client.request_reply import EmbeddingClient
from client.settings import ClientSettings
from schemas import headers as names
from schemas.beats import Beat, WorkerState
from schemas.codec import Vectors, decode_request, encode_beat
from schemas.errors import ErrorCode, RequestError
from schemas.requests import EmbeddingBody, EncodingFormat, Truncate
from schemas.topics import Lane, TopicNames
from transport.errors import SettingsError, TopicSetupError
from transport.messages import Message
from transport.settings import KafkaSettings

from ..transport.port import Port
from ..transport.testbed import BOUND_SECONDS, Testbed
from .conftest import new_topics
from .stand_in_worker import DIM, StandInWorker, vectors_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator

_WORKER = Beat(worker_id="w1", model="m", state=WorkerState.READY, dim=DIM)


def _run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(test, 60))


def _body(texts: str | list[str], **fields: Any) -> EmbeddingBody:
    return EmbeddingBody(model="m", input=texts, **fields)


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(BOUND_SECONDS):
        while not condition():  # noqa: ASYNC110 - what is waited for sets no event
            await asyncio.sleep(0.005)


class _Bench:
    """A broker, its topics, and clients of them."""

    def __init__(self, testbed: Testbed, topics: TopicNames) -> None:
        self.testbed = testbed
        self.topics = topics

    @asynccontextmanager
    async def client(self, **settings: Any) -> AsyncIterator[EmbeddingClient]:
        asking = EmbeddingClient(
            self.testbed.cluster.settings,
            self.topics,
            Lane.INTERACTIVE,
            ClientSettings(instance_id="test-client", **settings),
        )
        async with asking:
            await asyncio.wait_for(asking.connected(), BOUND_SECONDS)
            yield asking

    def worker(self, answering: Callable[[StandInWorker, Message], None] | None = None) -> StandInWorker:
        return StandInWorker(self.testbed, self.topics, answering)


@pytest.fixture
def bench(testbed: Testbed, shared_topics: TopicNames) -> _Bench:
    return _Bench(testbed, shared_topics)


def _ask(
    client: EmbeddingClient, texts: str | list[str], request_id: str = "r1", timeout_seconds: float | None = 20.0
) -> Coroutine[Any, Any, Vectors]:
    return client.embed(_body(texts), request_id=request_id, worker=_WORKER, timeout_seconds=timeout_seconds)


async def _error_of(asked: Awaitable[Vectors]) -> RequestError:
    with pytest.raises(RequestError) as failed:
        await asked
    return failed.value


# --- what the model does not do -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"model": "another"}, ErrorCode.MODEL_NOT_FOUND),
        ({"dimensions": 5}, ErrorCode.INVALID_REQUEST),
        ({"embedding_type": "int8"}, ErrorCode.INVALID_REQUEST),
        ({"input": [1, 2]}, ErrorCode.INVALID_REQUEST),
    ],
)
def test_what_its_worker_does_not_do_is_refused_before_anything_is_published(
    bench: _Bench, asked: dict[str, Any], code: ErrorCode
) -> None:
    body = EmbeddingBody.model_validate(_body("a").model_dump() | asked)

    async def test() -> None:
        async with bench.client() as client:
            error = await _error_of(client.embed(body, request_id="r1", worker=_WORKER, timeout_seconds=20))
            assert error.code is code

    with bench.worker() as worker:
        _run(test())
        assert worker.received == []


# --- replies find their requests ----------------------------------------------------------------------------


def test_each_of_many_requests_gets_its_own_vectors(bench: _Bench) -> None:
    async def test() -> None:
        async with bench.client() as client:
            texts = [[f"text {number}", f"other {number}"] for number in range(100)]
            answers = await asyncio.gather(*(_ask(client, pair, f"r{n}") for n, pair in enumerate(texts)))

            for pair, answer in zip(texts, answers, strict=True):
                assert np.array_equal(answer.vectors, vectors_of(pair))
                assert answer.prompt_tokens == 2
            assert (client.pending, client.strangers) == (0, 0)

    with bench.worker():
        _run(test())


def test_a_request_carries_what_a_worker_needs_to_answer_it(bench: _Bench) -> None:
    async def test() -> None:
        async with bench.client() as client:
            body = _body("text", truncate="END", encoding_format="float")
            traceparent = ("traceparent", b"00-trace")
            await client.embed(body, request_id="r1", worker=_WORKER, timeout_seconds=20, headers=[traceparent])

    before_ms = time.time() * 1000
    with bench.worker() as worker:
        _run(test())
    (message,) = worker.received
    request = decode_request(message.value or b"", None)
    headers = names.parse_request_headers(message.headers)

    assert message.key == b"r1"
    assert (request.id, request.input, request.truncate) == ("r1", ["text"], Truncate.END)
    assert request.encoding_format is EncodingFormat.BASE64
    assert headers.malformed == ()
    assert headers.reply_topic == bench.topics.replies
    assert headers.reply_partition in range(4)
    assert headers.correlation_id is not None
    assert len(headers.correlation_id) == 16
    assert headers.traceparent == b"00-trace"
    assert headers.deadline_ms is not None
    assert before_ms + 20_000 <= headers.deadline_ms <= time.time() * 1000 + 20_000
    assert names.PARTS not in dict(message.headers)


def test_a_request_without_a_timeout_has_no_deadline(bench: _Bench) -> None:
    async def test() -> None:
        async with bench.client() as client:
            await _ask(client, "text", timeout_seconds=None)

    with bench.worker() as worker:
        _run(test())

    assert names.DEADLINE not in dict(worker.received[0].headers)


def test_replies_in_another_order_reach_the_requests_they_answer(bench: _Bench) -> None:
    count, held = 10, list[Message]()

    def backwards(worker: StandInWorker, message: Message) -> None:
        held.append(message)
        if len(held) == count:
            for waiting in reversed(held):
                worker.answer(waiting)

    async def test() -> None:
        async with bench.client() as client:
            answers = await asyncio.gather(*(_ask(client, f"text {number}") for number in range(count)))

            for number, answer in enumerate(answers):
                assert np.array_equal(answer.vectors, vectors_of([f"text {number}"]))

    with bench.worker(backwards):
        _run(test())


def test_replies_nobody_awaits_are_counted_and_dropped(bench: _Bench) -> None:
    def with_strangers(worker: StandInWorker, message: Message) -> None:
        worker.reply(message, b"{}", correlation_id=b"another client's")
        worker.reply(message, b"{}", correlation_id=None)
        worker.answer(message)
        worker.answer(message)

    async def test() -> None:
        async with bench.client() as client:
            answer = await _ask(client, "text")
            await _until(lambda: client.strangers == 3)
            assert client.repeated == 1

            assert np.array_equal(answer.vectors, vectors_of(["text"]))
            assert np.array_equal((await _ask(client, "next")).vectors, vectors_of(["next"]))

    with bench.worker(with_strangers):
        _run(test())


def test_an_instance_started_again_takes_no_reply_to_its_earlier_self_although_its_partition_and_ids_are_the_same(
    bench: _Bench,
) -> None:
    held: list[Message] = []

    def late(worker: StandInWorker, message: Message) -> None:
        held.append(message)
        if len(held) == 2:
            for waiting in held:
                worker.answer(waiting)

    async def test() -> None:
        async with bench.client() as first:
            asked = asyncio.ensure_future(_ask(first, "old"))
            await _until(lambda: len(held) == 1)
        assert (await _error_of(asked)).code is ErrorCode.UNAVAILABLE
        async with bench.client() as second:
            answer = await _ask(second, "new")
            assert np.array_equal(answer.vectors, vectors_of(["new"]))
            assert (second.strangers, second.repeated) == (1, 0)

    with bench.worker(late):
        _run(test())

    replies_to = [dict(message.headers)[names.REPLY_PARTITION] for message in held]
    assert replies_to[0] == replies_to[1]
    assert held[0].key == held[1].key


@pytest.mark.slow
def test_a_reply_sent_the_moment_a_client_is_ready_is_not_lost(bench: _Bench) -> None:
    async def test() -> None:
        for number in range(3):
            async with bench.client() as client:
                answer = await _ask(client, f"text {number}", timeout_seconds=10)
                assert np.array_equal(answer.vectors, vectors_of([f"text {number}"]))

    with bench.worker():
        _run(test())


def test_an_instance_keeps_its_reply_partition_and_many_instances_use_them_all() -> None:
    def partition_of(instance_id: str) -> int:
        settings = ClientSettings(instance_id=instance_id)
        return EmbeddingClient(KafkaSettings(), TopicNames(), Lane.INTERACTIVE, settings)._partition_of(24)

    assert partition_of("api-0") == partition_of("api-0")
    assert {partition_of(f"api-{number}") for number in range(500)} == set(range(24))


# --- time -----------------------------------------------------------------------------------------------------


def test_a_request_not_answered_by_its_deadline_fails_as_timeout_and_its_late_reply_is_a_stranger(
    bench: _Bench,
) -> None:
    held = list[Message]()

    def hold(_: StandInWorker, message: Message) -> None:
        held.append(message)

    async def test(worker: StandInWorker) -> None:
        async with bench.client() as client:
            error = await _error_of(_ask(client, "text", timeout_seconds=0.5))
            assert error.code is ErrorCode.TIMEOUT
            assert error.message == "no reply within 0.5 s: try again, or send less at once"
            assert client.pending == 0
            await _until(lambda: bool(held))
            worker.answer(held[0])
            await _until(lambda: client.strangers == 1)
            assert client.repeated == 1

    with bench.worker(hold) as worker:
        _run(test(worker))


def test_a_caller_that_gives_up_frees_its_place(bench: _Bench) -> None:
    async def test() -> None:
        async with bench.client(window_bytes=65536) as client:
            # A reply as large as the window: nobody else gets in while it is awaited.
            large = Beat(worker_id="w", model="m", state=WorkerState.READY, dim=65536)
            given_up = asyncio.create_task(client.embed(_body("text"), request_id="r1", worker=large))
            await _until(lambda: client.pending == 1)
            waiting = asyncio.create_task(client.embed(_body("text"), request_id="r2", worker=large))
            for _ in range(10):
                await asyncio.sleep(0)
            assert client.pending == 1
            given_up.cancel()
            with pytest.raises(asyncio.CancelledError):
                await given_up
            await _until(lambda: client.pending == 1)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            assert client.pending == 0

    _run(test())


# --- large requests ---------------------------------------------------------------------------------------------


def test_a_large_request_is_split_and_its_vectors_come_back_in_order(bench: _Bench) -> None:
    texts = [f"text {number}" for number in range(2048)]

    async def test() -> None:
        async with bench.client() as client:
            answer = await _ask(client, texts)
            assert np.array_equal(answer.vectors, vectors_of(texts))
            assert answer.prompt_tokens == 2048

    with bench.worker() as worker:
        _run(test())
    seen = {}
    for message in worker.received:
        headers = dict(message.headers)
        request = decode_request(message.value or b"", None)
        number, first_index = int(headers[names.PART] or b""), int(headers[names.FIRST_INDEX] or b"")
        assert headers[names.PARTS] == b"32"
        assert message.key == request.id.encode() == b"r1/%d" % number
        seen[number] = first_index
        assert request.inputs == texts[first_index : first_index + 64]

    assert seen == {number: number * 64 for number in range(32)}


def test_an_error_of_a_part_names_the_input_of_the_whole_request(bench: _Bench) -> None:
    def refuse_some(worker: StandInWorker, message: Message) -> None:
        if message.key in (b"r1/2", b"r1/3"):
            error = RequestError(ErrorCode.CONTEXT_LENGTH_EXCEEDED, "input[5] is too long", param="input", index=5)
            worker.answer_error(message, error)
        else:
            worker.answer(message)

    async def test() -> None:
        async with bench.client(part_inputs=10) as client:
            error = await _error_of(_ask(client, [f"text {number}" for number in range(40)]))

            assert error.code is ErrorCode.CONTEXT_LENGTH_EXCEEDED
            assert (error.message, error.index, error.param) == ("input[25] is too long", 25, "input")

    with bench.worker(refuse_some):
        _run(test())


def test_no_more_replies_are_under_way_than_the_window_holds(bench: _Bench) -> None:
    window_bytes, dim, most = 65536, 1024, 0

    async def test() -> None:
        nonlocal most
        async with bench.client(window_bytes=window_bytes, part_inputs=1) as client:
            worker = Beat(worker_id="w", model="m", state=WorkerState.READY, dim=dim)
            texts = [f"text {number}" for number in range(60)]
            asked = asyncio.create_task(client.embed(_body(texts), request_id="r1", worker=worker))
            while not asked.done():
                most = max(most, client.pending)
                await asyncio.sleep(0)
            assert np.array_equal((await asked).vectors, vectors_of(texts))

    with bench.worker():
        _run(test())

    # Base64 of a vector takes 4 bytes for 3.
    assert 2 <= most <= window_bytes // (dim * 4 * 4 // 3)


def test_a_text_larger_than_the_broker_takes_is_refused_as_such(bench: _Bench) -> None:
    async def test() -> None:
        async with bench.client() as client:
            error = await _error_of(_ask(client, "x" * (3 * 1024 * 1024)))
            assert error.code is ErrorCode.REQUEST_TOO_LARGE
            assert "is over what the broker takes: send shorter texts" in error.message
            assert error.param == "input"
            assert np.array_equal((await _ask(client, "short")).vectors, vectors_of(["short"]))

    with bench.worker():
        _run(test())


# --- what a worker answers --------------------------------------------------------------------------------------


def test_an_error_of_the_worker_is_the_callers(bench: _Bench) -> None:
    def refuse(worker: StandInWorker, message: Message) -> None:
        error = RequestError(ErrorCode.CONTEXT_LENGTH_EXCEEDED, "input[0] is too long", param="input", index=0)
        worker.answer_error(message, error)

    async def test() -> None:
        async with bench.client() as client:
            error = await _error_of(_ask(client, "text"))
            assert (error.code, error.message, error.index) == (
                ErrorCode.CONTEXT_LENGTH_EXCEEDED,
                "input[0] is too long",
                0,
            )

    with bench.worker(refuse):
        _run(test())


_UNREADABLE = [
    None,
    b"",
    b"\xff not JSON",
    b"[]",
    b"{}",
    b'{"data": [null]}',
    b'{"data": [{"embedding": "!"}], "usage": {"prompt_tokens": 1}}',
    b'{"data": [], "usage": {"prompt_tokens": 0}}',
    b'{"error": {"message": 7}}',
]


def test_a_reply_that_cannot_be_read_is_an_error_of_ours_and_not_a_request_that_hangs(bench: _Bench) -> None:
    values = iter(_UNREADABLE)

    async def test() -> None:
        async with bench.client() as client:
            for _ in _UNREADABLE:
                error = await _error_of(_ask(client, "text", timeout_seconds=10))
                assert error.code is ErrorCode.INTERNAL_ERROR
                assert error.message.startswith("the worker's reply cannot be read: ")

    with bench.worker(lambda worker, message: worker.reply(message, next(values))):
        _run(test())


# --- the client's life --------------------------------------------------------------------------------------------


def test_settings_that_its_producer_refuses_are_told_to_whoever_waits_and_whoever_watches(bench: _Bench) -> None:
    told: list[BaseException] = []

    async def test() -> None:
        kafka = bench.testbed.cluster.settings.model_copy(update={"options": {"acks": SecretStr("1")}})
        client = EmbeddingClient(kafka, bench.topics, Lane.INTERACTIVE, ClientSettings(), told.append)
        async with client:
            with pytest.raises(SettingsError, match=r"librdkafka refuses the settings: .*acks"):
                await asyncio.wait_for(client.connected(), BOUND_SECONDS)

    _run(test())
    assert [str(error).partition(":")[0] for error in told] == ["librdkafka refuses the settings"]


def test_asking_before_a_broker_has_answered_is_refused(bench: _Bench) -> None:
    async def test() -> None:
        client = EmbeddingClient(bench.testbed.cluster.settings, bench.topics, Lane.INTERACTIVE, ClientSettings())
        with pytest.raises(NotConnectedError, match=r"await connected\(\) first"):
            await _ask(client, "text")
        assert client.workers() == []

    _run(test())


def test_stopping_fails_what_is_awaited_and_what_still_waits_for_room(bench: _Bench) -> None:
    async def test() -> None:
        async with bench.client(window_bytes=65536, part_inputs=1) as client:
            large = Beat(worker_id="w", model="m", state=WorkerState.READY, dim=65536)
            asked = [
                asyncio.create_task(client.embed(_body(f"text {n}"), request_id=f"r{n}", worker=large))
                for n in range(3)
            ]
            await _until(lambda: client.pending == 1)
            await client.stop()
            for task in asked:
                error = await _error_of(_awaited(task))
                assert error.code is ErrorCode.UNAVAILABLE
                assert error.message == "the service is stopping: try again"
            assert client.pending == 0
            with pytest.raises(NotConnectedError):
                await _ask(client, "text")

    _run(test())


async def _awaited(task: asyncio.Task[Vectors]) -> Vectors:
    return await asyncio.wait_for(task, 5)


def test_a_client_started_before_its_broker_connects_when_it_comes(bench: _Bench) -> None:
    async def test() -> None:
        with Port() as port:
            settings = KafkaSettings(bootstrap=port.address)
            async with EmbeddingClient(settings, bench.topics, Lane.INTERACTIVE, ClientSettings()) as client:
                connected = asyncio.create_task(client.connected())
                with pytest.raises(NotConnectedError):
                    await _ask(client, "text")
                assert not connected.done()
                port.open(bench.testbed.cluster.settings.bootstrap)
                await asyncio.wait_for(connected, BOUND_SECONDS)
                assert np.array_equal((await _ask(client, "text")).vectors, vectors_of(["text"]))

    with bench.worker():
        _run(test())


def test_a_missing_topic_ends_the_wait_naming_the_command(testbed: Testbed) -> None:
    failures = list[BaseException]()

    async def test() -> None:
        client = EmbeddingClient(
            testbed.cluster.settings, TopicNames("never-made"), Lane.INTERACTIVE, ClientSettings(), failures.append
        )
        async with client:
            with pytest.raises(TopicSetupError, match="`kafka-embeddings topics create --bootstrap"):
                await asyncio.wait_for(client.connected(), BOUND_SECONDS)

    _run(test())

    assert [type(failure) for failure in failures] == [TopicSetupError]


def test_replies_the_broker_dropped_fail_what_is_awaited_instead_of_leaving_it(bench: _Bench) -> None:
    async def test() -> None:
        async with bench.client() as client:
            asked = asyncio.create_task(_ask(client, "text"))
            await _until(lambda: client.pending == 1)
            stranger = Message(bench.topics.replies, 0, 9, 0, None, b"{}", ())
            client._on_replies([stranger], 4)

            error = await _error_of(_awaited(asked))
            assert error.code is ErrorCode.UNAVAILABLE
            assert error.message == "the embedded broker dropped 4 replies: try again"

    _run(test())


def test_a_full_buffer_leaves_the_event_loop_free_and_ends_at_the_deadline(
    bench: _Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test() -> None:
        async with bench.client() as client:
            assert client._connected is not None
            monkeypatch.setattr(client._connected.producer, "try_produce", lambda *_, **__: False)
            turns = 0
            asked = asyncio.create_task(_error_of(_ask(client, "text", timeout_seconds=0.3)))
            while not asked.done():
                turns += 1
                await asyncio.sleep(0.01)

            assert (await asked).code is ErrorCode.TIMEOUT
            assert turns > 5
            assert client.pending == 0

    _run(test())


# --- workers ------------------------------------------------------------------------------------------------------


@pytest.fixture
def bench_alone(testbed: Testbed) -> _Bench:
    """Without what the workers of other tests said: who reads from before the end may see it for a moment."""
    return _Bench(testbed, new_topics(testbed))


@pytest.fixture
def beat(bench_alone: _Bench) -> Iterator[Callable[[Beat], None]]:
    with bench_alone.testbed.producer() as publisher:

        def publish(beat: Beat) -> None:
            publisher.send(bench_alone.topics.workers, key=beat.worker_id.encode(), value=encode_beat(beat))
            assert publisher.outcomes()[-1] is None

        yield publish


def _leave(bench: _Bench, worker: Beat) -> None:
    with bench.testbed.producer() as publisher:
        publisher.send(bench.topics.workers, key=worker.worker_id.encode(), value=None)
        assert publisher.outcomes() == [None]


def test_a_model_whose_workers_are_gone_is_not_ready_instead_of_unknown(
    bench_alone: _Bench, beat: Callable[[Beat], None]
) -> None:
    other = _WORKER.model_copy(update={"worker_id": "w2", "model": "neighbour"})

    async def test() -> None:
        async with bench_alone.client() as client:
            beat(_WORKER)
            beat(other)
            await _until(lambda: len(client.workers()) == 2)
            _leave(bench_alone, _WORKER)
            await _until(lambda: client.workers() == [other])
            for name in ("m", "m-query"):
                with pytest.raises(RequestError, match=f"no worker of model {name} is running") as gone:
                    client.worker_of(name)
                assert gone.value.code is ErrorCode.MODEL_NOT_READY
            with pytest.raises(RequestError, match="does not exist: served here: neighbour"):
                client.worker_of("never")
            _leave(bench_alone, other)
            await _until(lambda: client.workers() == [])

    _run(test())


def test_a_name_with_a_role_of_its_own_is_that_model_alone_also_while_its_workers_are_gone(
    bench_alone: _Bench, beat: Callable[[Beat], None]
) -> None:
    named_like_a_role = _WORKER.model_copy(update={"worker_id": "w2", "model": "m-query", "aliases": ["n-passage"]})
    alias_base = _WORKER.model_copy(update={"worker_id": "w3", "model": "n"})

    async def test() -> None:
        async with bench_alone.client() as client:
            for worker in (_WORKER, named_like_a_role, alias_base):
                beat(worker)
            await _until(lambda: len(client.workers()) == 3)
            for name in ("m-query", "n-passage"):
                assert client.worker_of(name) == named_like_a_role
            _leave(bench_alone, named_like_a_role)
            await _until(lambda: len(client.workers()) == 2)
            for name in ("m-query", "n-passage"):
                with pytest.raises(RequestError, match=f"no worker of model {name} is running") as gone:
                    client.worker_of(name)
                assert gone.value.code is ErrorCode.MODEL_NOT_READY
            assert client.worker_of("m-passage") == _WORKER
            assert client.worker_of("n-query") == alias_base
            for worker in (_WORKER, alias_base):
                _leave(bench_alone, worker)
            await _until(lambda: client.workers() == [])

    _run(test())


def test_workers_that_do_not_read_our_lane_are_no_workers_of_ours(
    bench_alone: _Bench, beat: Callable[[Beat], None]
) -> None:
    other_lane = _WORKER.model_copy(update={"worker_id": "w2", "lanes": [Lane.BULK]})

    async def test() -> None:
        async with bench_alone.client() as client:
            beat(other_lane)
            beat(_WORKER)
            await _until(lambda: client.workers() != [])
            assert client.workers() == [_WORKER]
            _leave(bench_alone, _WORKER)
            await _until(lambda: client.workers() == [])
            with pytest.raises(RequestError, match=r"no worker (of model m )?is running"):
                client.worker_of("m")
            _leave(bench_alone, other_lane)

    _run(test())


def test_a_model_is_found_by_its_name_and_its_aliases_once_a_worker_is_ready(
    bench_alone: _Bench, beat: Callable[[Beat], None]
) -> None:
    async def test() -> None:
        async with bench_alone.client() as client:
            with pytest.raises(RequestError, match="no worker is running") as none:
                client.worker_of("m")
            assert none.value.code is ErrorCode.UNAVAILABLE
            loading = _WORKER.model_copy(update={"state": WorkerState.LOADING, "aliases": ["alias"]})
            beat(loading)
            await _until(lambda: client.workers() == [loading])
            with pytest.raises(RequestError, match="model m is not ready yet") as not_ready:
                client.worker_of("m")
            assert not_ready.value.code is ErrorCode.MODEL_NOT_READY
            waiting = asyncio.create_task(client.wait_for_worker("alias-query", poll_seconds=0.01))
            ready = loading.model_copy(update={"state": WorkerState.READY})
            beat(ready)
            assert await asyncio.wait_for(waiting, BOUND_SECONDS) == ready
            for name in ("m", "m-passage", "alias", "alias-query"):
                assert client.worker_of(name) == ready
            with pytest.raises(RequestError, match="The model 'other' does not exist: served here: m") as unknown:
                await client.wait_for_worker("other")
            assert unknown.value.code is ErrorCode.MODEL_NOT_FOUND

    _run(test())
