"""A broker that does not let us in is told from one that is not there, and names the setting at fault."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Final

import pytest
from confluent_kafka import KafkaError

from tests.kafka_broker.secured import WAYS
from transport.cluster import Cluster
from transport.errors import AccessDeniedError, BrokerUnavailableError
from transport.refusals import Refusals
from transport.settings import KafkaSettings

from .port import answering
from .testbed import BOUND_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.kafka_broker.secured import SecuredBroker

_Attempt = tuple[str, dict[str, str]]


def _with(broker: SecuredBroker, way: str, **changed: str | None) -> _Attempt:
    """A way in with some of its options changed; None leaves one out."""
    options: dict[str, str | None] = dict(broker.options("stranger", way))
    options |= {name.replace("_", "."): value for name, value in changed.items()}
    return broker.address(way), {name: value for name, value in options.items() if value is not None}


_LOCKED_OUT: Final[dict[str, tuple[Callable[[SecuredBroker], _Attempt], str]]] = {
    "wrong password": (
        lambda broker: _with(broker, "plain", sasl_password="wr0ng"),
        "does not let us in: check sasl.username, sasl.password and sasl.mechanism",
    ),
    "wrong password by SCRAM": (
        lambda broker: _with(broker, "scram-512-tls", sasl_password="wr0ng"),
        "does not let us in: check sasl.username, sasl.password and sasl.mechanism",
    ),
    "unknown user": (lambda broker: _with(broker, "scram-256", sasl_username="nobody"), "does not let us in"),
    "a mechanism it does not have": (
        lambda broker: _with(broker, "plain", sasl_mechanism="OAUTHBEARER"),
        "takes PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, not OAUTHBEARER: set sasl.mechanism",
    ),
    "a certificate we do not trust": (
        lambda broker: _with(broker, "plain-tls", ssl_ca_location=None),
        "is not trusted: set ssl.ca.location",
    ),
    "no certificate of ours": (
        lambda broker: _with(broker, "certificate", ssl_certificate_location=None, ssl_key_location=None),
        "does not take our certificate: set ssl.certificate.location",
    ),
    "plain to TLS": (lambda broker: (broker.address("certificate"), {}), "speaks SSL, not PLAINTEXT"),
    "plain to SASL": (lambda broker: (broker.address("plain"), {}), "speaks SASL_PLAINTEXT, not PLAINTEXT"),
    "SASL without TLS to SASL with it": (
        lambda broker: _with(broker, "plain-tls", security_protocol="SASL_PLAINTEXT"),
        "speaks SASL_SSL, not SASL_PLAINTEXT",
    ),
    "TLS without SASL to TLS with it": (
        lambda broker: _with(broker, "plain-tls", security_protocol="SSL"),
        "speaks SASL_SSL, not SSL",
    ),
    "TLS to plain": (
        lambda broker: (broker.bootstrap, _with(broker, "certificate")[1]),
        "speaks PLAINTEXT, not SSL: set security.protocol to PLAINTEXT, or name another listener with --bootstrap",
    ),
    "SASL to plain": (
        lambda broker: (broker.bootstrap, _with(broker, "plain")[1]),
        "speaks PLAINTEXT, not SASL_PLAINTEXT",
    ),
}


def _settings(attempt: _Attempt) -> KafkaSettings:
    bootstrap, options = attempt
    return KafkaSettings.model_validate({"bootstrap": bootstrap, "options": options})


def _connect(attempt: _Attempt, given_up: threading.Event) -> str:
    """What is said where the wait for a broker ends without one."""
    try:
        return f"waited for: {Cluster.connect(_settings(attempt), given_up)}"
    except AccessDeniedError as error:
        return str(error)


@pytest.fixture(scope="module")
def said(secured_broker: SecuredBroker) -> dict[str, str]:
    """Every attempt at once: librdkafka takes a second for each."""
    given_up = threading.Event()
    with ThreadPoolExecutor(len(_LOCKED_OUT)) as threads:
        waiting = {
            name: threads.submit(_connect, attempt(secured_broker), given_up)
            for name, (attempt, _) in _LOCKED_OUT.items()
        }
        wait(waiting.values(), BOUND_SECONDS)
        given_up.set()
        return {name: told.result() for name, told in waiting.items()}


@pytest.mark.parametrize("attempt", _LOCKED_OUT)
def test_who_is_locked_out_does_not_wait_and_is_told_which_setting_to_change(
    attempt: str, said: dict[str, str], secured_broker: SecuredBroker
) -> None:
    assert _LOCKED_OUT[attempt][1] in said[attempt]
    for secret in ("wr0ng", *secured_broker.users.values()):
        assert secret not in said[attempt]


@pytest.mark.parametrize("way", WAYS)
def test_who_is_known_is_let_in(way: str, secured_broker: SecuredBroker) -> None:
    attempt = secured_broker.address(way), secured_broker.options("stranger", way)

    assert Cluster.probe(_settings(attempt)).profile.name == "Apache Kafka"


@pytest.mark.parametrize("protocol", ["PLAINTEXT", "SSL"])
def test_a_port_that_hangs_up_on_everybody_is_no_refusal_its_broker_may_still_come(protocol: str) -> None:
    with answering(b"") as address, pytest.raises(BrokerUnavailableError):
        Cluster.probe(_settings((address, {"security.protocol": protocol})), timeout_seconds=0.3)


def test_an_authentication_that_the_end_of_a_connection_cut_short_is_no_refusal() -> None:
    refusals = Refusals(KafkaSettings(bootstrap="127.0.0.1:1"))
    for said in ("Disconnected while authenticating", "SASL authentication error: Disconnected"):
        refusals(KafkaError(KafkaError._AUTHENTICATION, f"sasl_plaintext://127.0.0.1:1/bootstrap: {said}"))

    refusals.raise_any()
