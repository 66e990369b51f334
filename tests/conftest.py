"""What all tests share: the Kafka they run against, and the order and counts that follow from it."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
from typing import TYPE_CHECKING

import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from .docs.rights import processes
from .kafka_broker import KafkaBroker, KafkaController, why_no_kafka
from .kafka_broker.secured import SecuredBroker
from .lacking import skip_for_want_of

if TYPE_CHECKING:
    from collections.abc import Iterator

pytest_plugins = ["tests.stack.fixtures"]

# A shell starts a job in the background with Ctrl-C ignored, and every process of ours would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

# --- a real Kafka -----------------------------------------------------------------------------------------

_NEEDS_KAFKA = frozenset({"kafka_bootstrap", "kafka_broker", "kafka_runs_here"})
_STARTS_PROCESSES = frozenset({"null_stack", "model_stack", "new_stack", "service", "redis_server"})
_NO_KAFKA = "no Apache Kafka here: "
_ANSWER_SECONDS = 10.0


@pytest.fixture(scope="session")
def kafka_bootstrap() -> Iterator[str]:
    """Address of a real Kafka shared by the whole run: KAFKA_BOOTSTRAP, or a broker started here."""
    given = os.environ.get("KAFKA_BOOTSTRAP")
    if given:
        try:
            AdminClient({"bootstrap.servers": given, "log_level": 0}).list_topics(timeout=_ANSWER_SECONDS)
        except KafkaException as error:
            pytest.fail(f"KAFKA_BOOTSTRAP={given} does not answer: {error}", pytrace=False)
        yield given
        return
    _skip_or_fail_without_kafka()
    with KafkaBroker() as broker:
        yield broker.bootstrap


@pytest.fixture(scope="session")
def kafka_runs_here() -> None:
    """For tests that start brokers of their own, whatever KAFKA_BOOTSTRAP says: Java and Maven are here."""
    _skip_or_fail_without_kafka()


@pytest.fixture
def kafka_broker(kafka_runs_here: None) -> Iterator[KafkaBroker]:
    """A broker of the test's own, which it may kill and restart."""
    with KafkaBroker(controller=KafkaController()) as broker:
        yield broker


@pytest.fixture(scope="session")
def secured_broker(kafka_runs_here: None) -> Iterator[SecuredBroker]:
    """A broker with users, TLS and ACLs, shared by the whole run: nobody may do anything until a test allows it."""
    if shutil.which("openssl") is None:
        skip_for_want_of("openssl is not installed: it makes the certificates")
    users = (*processes(), "stranger")
    with SecuredBroker({name: f"{name}-{secrets.token_hex(8)}" for name in users}) as broker:
        yield broker


def _skip_or_fail_without_kafka() -> None:
    reason = why_no_kafka()
    if reason is None:
        return
    skip_for_want_of(_NO_KAFKA + reason)


# --- what workers remember ----------------------------------------------------------------------------------


@pytest.fixture(scope="session", autouse=True)
def _caches_of_this_run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Workers remember what they found out about a device: here for this run only."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("caches")))
        yield


# --- markers and order ------------------------------------------------------------------------------------


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what asks for Kafka or for processes, before `-m` selects; then cheap tests first, the model's last."""
    for item in items:
        fixtures = getattr(item, "fixturenames", ())
        if _NEEDS_KAFKA.intersection(fixtures):
            item.add_marker(pytest.mark.kafka)
        if _STARTS_PROCESSES.intersection(fixtures):
            item.add_marker(pytest.mark.slow)
    items.sort(key=_cost)


def _cost(item: pytest.Item) -> int:
    if item.get_closest_marker("model") is not None:
        return 2
    return 1 if item.get_closest_marker("kafka") is not None else 0


# --- summary ----------------------------------------------------------------------------------------------


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many tests were skipped for want of Kafka, and why."""
    reasons = [_reason(report) for report in terminalreporter.stats.get("skipped", [])]
    lacking = [reason for reason in reasons if _NO_KAFKA in reason]
    if lacking:
        why = lacking[0].split(_NO_KAFKA, 1)[1]
        line = f"{len(lacking)} tests skipped for want of Apache Kafka: {why} (REQUIRE_KAFKA=1 makes this a failure)"
        terminalreporter.write_line(line, yellow=True)


def _reason(report: pytest.TestReport) -> str:
    return report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
