"""A process that lacks something ends at once and says what; each right of the page is needed."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AclBinding, AclOperation, ResourceType

from client.access import check_may_ask, check_may_read
from client.workers import WorkersView
from schemas.beats import Beat, WorkerState
from schemas.codec import encode_beat
from schemas.topics import Lane, TopicNames
from tests.docs.rights import in_words, rights
from tests.stack.command import Command
from transport.access import check_access
from transport.cluster import Cluster
from transport.errors import AccessDeniedError
from transport.settings import KafkaSettings
from transport.transactional_producer import TransactionalProducer
from worker.access import transactional_id_prefix, worker_rights
from worker.settings import WorkerSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .conftest import Guarded

_DESCRIBE: Final = AclOperation.DESCRIBE


def _cluster(here: Guarded, user: str) -> Cluster:
    settings = {"bootstrap": here.broker.address(here.way), "options": here.options(user)}
    return Cluster.probe(KafkaSettings.model_validate(settings))


# --- each right -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def here(guarded: Callable[..., Guarded]) -> Guarded:
    """Topics that are there, and users who may do all that the page lists."""
    return guarded("plain", with_topics=True)


def _check_worker(cluster: Cluster, topics: TopicNames) -> None:
    check_access(cluster, worker_rights(topics, WorkerSettings()))


def _check_worker_once(cluster: Cluster, topics: TopicNames) -> None:
    check_access(cluster, worker_rights(topics, WorkerSettings(delivery="exactly-once")))
    producer = TransactionalProducer(
        cluster, transactional_id_prefix(topics), "w1", "access", linger_ms=0, compression="none", timeout_seconds=10
    )
    assert producer.start(threading.Event())


def _check_client(lane: Lane) -> Callable[[Cluster, TopicNames], None]:
    def check(cluster: Cluster, topics: TopicNames) -> None:
        check_may_read(cluster, topics)
        workers = WorkersView(cluster, topics)
        try:
            check_may_ask(cluster, topics, lane, workers)
        finally:
            workers.close()

    return check


_CHECKS: Final = {
    "worker": _check_worker,
    "worker-once": _check_worker_once,
    "api": _check_client(Lane.INTERACTIVE),
    "embed": _check_client(Lane.BULK),
}


@pytest.mark.parametrize("process", _CHECKS)
def test_with_every_right_of_the_page_nothing_is_lacking(process: str, here: Guarded) -> None:
    _CHECKS[process](_cluster(here, process), here.place.topics)


@pytest.mark.parametrize(
    ("process", "listed"),
    [(process, in_words(right)) for process in _CHECKS for right in rights(process)],
)
def test_without_one_of_them_the_start_is_refused_and_the_right_is_named(
    process: str, listed: str, here: Guarded
) -> None:
    row = [in_words(right) for right in rights(process)].index(listed)
    right = rights(process, here.prefix)[row]
    with here.broker.without(right), pytest.raises(AccessDeniedError) as lacking:
        _CHECKS[process](_cluster(here, process), here.place.topics)

    assert f"do not let {process} {in_words(right)}: allow it" in str(lacking.value)


def test_a_client_that_may_ask_one_model_only_is_let_in_while_a_worker_of_it_lives(here: Guarded) -> None:
    asked = TopicNames(here.prefix, "other").requests_interactive
    here.broker.create_topic(asked)
    [default] = [right for right in rights("api", here.prefix) if right.operation is AclOperation.WRITE]
    other = _on(asked, default)
    here.broker.allow(other)
    with here.broker.without(default):
        _say_beat(here, "other")
        _CHECKS["api"](_cluster(here, "api"), here.place.topics)
        _say_beat(here, "other")
        with here.broker.without(other), pytest.raises(AccessDeniedError) as lacking:
            _CHECKS["api"](_cluster(here, "api"), here.place.topics)

    assert f"do not let api {in_words(other)}: allow it" in str(lacking.value)


def test_who_may_only_describe_its_transactional_ids_is_refused_and_told_of_the_right_to_write(here: Guarded) -> None:
    [write] = [
        right for right in rights("worker-once", here.prefix) if right.restype is ResourceType.TRANSACTIONAL_ID
    ]
    describe = _on(write.name, write, AclOperation.DESCRIBE)
    here.broker.allow(describe)
    try:
        with here.broker.without(write), pytest.raises(AccessDeniedError) as lacking:
            _CHECKS["worker-once"](_cluster(here, "worker-once"), here.place.topics)
    finally:
        here.broker.forbid(describe)

    assert f"do not let worker-once {in_words(write)}: allow it" in str(lacking.value)


def _on(name: str, right: AclBinding, operation: AclOperation | None = None) -> AclBinding:
    """The same right on another resource, or for another operation."""
    pattern, who, host = right.resource_pattern_type, right.principal, right.host
    return AclBinding(right.restype, name, pattern, who, host, operation or right.operation, right.permission_type)


def _say_beat(here: Guarded, slug: str) -> None:
    """Publish a beat of a worker that is not there; it lives for 5 s."""
    beat = Beat(worker_id="pretended", model=slug, slug=slug, state=WorkerState.READY, started_at_ms=0)
    producer = Producer({"bootstrap.servers": here.broker.bootstrap})
    producer.produce(here.place.topics.workers, encode_beat(beat), b"pretended")
    assert producer.flush(30) == 0


# --- processes ------------------------------------------------------------------------------------------------


def _worker(*flags: str) -> list[str]:
    return ["worker", "--encoder", "null", *flags]


_REFUSED: Final[dict[str, tuple[Callable[[Guarded], list[str]], str]]] = {
    "a worker with a wrong password": (
        lambda here: _worker(
            *here.flags, *here.by_flags("worker"), "--kafka", "sasl.password=wr0ng", "--kafka", "debug=conf,security"
        ),
        "does not let us in: check sasl.username, sasl.password and sasl.mechanism",
    ),
    "an API with a wrong password": (
        lambda here: ["api", "--port", "0", *here.flags, *here.by_flags("api"), "--kafka", "sasl.password=wr0ng"],
        "does not let us in: check sasl.username, sasl.password and sasl.mechanism",
    ),
    "a worker that does not speak TLS": (
        lambda here: _worker("--bootstrap", here.broker.address("certificate")),
        "speaks SSL, not PLAINTEXT: set security.protocol to SSL",
    ),
    "a worker without rights": (
        lambda here: _worker(*here.flags, *here.by_flags("stranger")),
        "do not let stranger Read group",
    ),
    "an API without rights": (
        lambda here: ["api", "--port", "0", *here.flags, *here.by_flags("stranger")],
        "do not let stranger Read topic",
    ),
    "embed without rights": (
        lambda here: ["embed", str(here.folder / "texts.txt"), "-o", "-", *here.flags, *here.by_flags("stranger")],
        "do not let stranger Read topic",
    ),
    "topics create by one who may look only": (
        lambda here: ["topics", "create", *here.flags, *here.by_flags("worker"), "--slug", "further"],
        "do not let worker Describe topic",
    ),
    "topics create by one who may not create": (
        lambda here: ["topics", "create", *here.flags, *here.by_flags("topics"), "--prefix", "elsewhere"],
        "do not let topics Create topic elsewhere.requests",
    ),
}


@pytest.fixture(scope="module")
def refused(here: Guarded) -> Iterator[dict[str, Command]]:
    """All of them at once."""
    (here.folder / "texts.txt").write_text("a text\n")
    here.broker.allow(*(_on("elsewhere", right) for right in rights("topics") if right.operation is _DESCRIBE))
    with ExitStack() as running:
        yield {name: running.enter_context(Command(*words(here))) for name, (words, _) in _REFUSED.items()}


@pytest.mark.slow
@pytest.mark.parametrize("name", _REFUSED)
def test_a_process_that_lacks_something_ends_with_1_and_one_line_that_names_it(
    name: str, refused: dict[str, Command], here: Guarded
) -> None:
    process = refused[name]

    assert process.wait() == 1, process.quote()
    assert "Traceback" not in process.stderr
    assert _REFUSED[name][1] in process.own_lines[-1]
    assert process.own_lines[-1].startswith("kafka-embeddings: ")
    for secret in ("wr0ng", *here.broker.users.values()):
        assert secret not in process.stdout + process.stderr
