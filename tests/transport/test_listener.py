"""A listener tells what it speaks; what tells nothing of Kafka's counts as nothing."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from transport.listener import Listener, ask_listener, why_not_spoken

from .port import answering

if TYPE_CHECKING:
    from tests.kafka_broker.secured import SecuredBroker
    from transport.embedded import EmbeddedBroker

_SECONDS = 0.3
_MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\x00\x00\x00\x0a\x00\x00\x00\x01\x00",
        b"\x00\x00\x00\x0a\x00\x00\x00\x01\x00\x21\x00\x00\x00\x05",
        b"\xff" * 64,
    ],
)
def test_a_port_that_does_not_answer_as_kafka_does_says_nothing(answer: bytes) -> None:
    with answering(answer) as address:
        assert ask_listener(address, _SECONDS) is None


def test_a_port_that_takes_connections_and_says_nothing_says_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert ask_listener(f"127.0.0.1:{silent.getsockname()[1]}", _SECONDS) is None


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nobody", "nobody:", "nobody.invalid:9092"])
def test_an_address_that_leads_nowhere_says_nothing(address: str) -> None:
    assert ask_listener(address, _SECONDS) is None


def test_the_embedded_broker_is_never_taken_for_one_with_passwords(embedded_broker: EmbeddedBroker) -> None:
    assert ask_listener(embedded_broker.bootstrap, _SECONDS) in (None, Listener(False, ()))


@pytest.mark.parametrize(
    ("name", "speaks"),
    [
        ("SASL", Listener(False, _MECHANISMS)),
        ("SASL_TLS", Listener(True, _MECHANISMS)),
        ("TLS", Listener(True, None)),
    ],
)
def test_a_listener_of_kafka_tells_its_protocol_and_mechanisms(
    name: str, speaks: Listener, secured_broker: SecuredBroker
) -> None:
    assert ask_listener(secured_broker.bootstrap_of(name)) == speaks
    assert ask_listener(secured_broker.bootstrap) == Listener(False, ())


@pytest.mark.parametrize(
    ("options", "listener"),
    [
        ({}, Listener(False, ())),
        ({"security.protocol": "ssl"}, Listener(True, ())),
        ({"security.protocol": "SSL"}, Listener(True, None)),
        ({"security.protocol": "SASL_SSL", "sasl.mechanism": "PLAIN"}, Listener(True, ("PLAIN",))),
        ({"security.protocol": "SASL_SSL", "sasl.mechanisms": "PLAIN"}, Listener(True, None)),
    ],
)
def test_options_that_fit_are_not_complained_of(options: dict[str, str], listener: Listener) -> None:
    assert why_not_spoken(options, "k:9092", listener) is None


@pytest.mark.parametrize(
    ("options", "listener", "says"),
    [
        ({}, Listener(True, None), "k:9092 speaks SSL, not PLAINTEXT: set security.protocol to SSL"),
        ({}, Listener(False, ("PLAIN",)), "to SASL_PLAINTEXT, and sasl.mechanism to one of PLAIN, or"),
        ({"security.protocol": "SSL"}, Listener(False, ()), "speaks PLAINTEXT, not SSL"),
        ({"security.protocol": "sasl_plaintext"}, Listener(True, None), "to SASL_SSL or SSL"),
        (
            {"security.protocol": "SASL_SSL"},
            Listener(True, ("PLAIN",)),
            "takes PLAIN, not GSSAPI: set sasl.mechanism",
        ),
    ],
)
def test_options_that_do_not_fit_are_named_with_what_would(
    options: dict[str, str], listener: Listener, says: str
) -> None:
    assert says in (why_not_spoken(options, "k:9092", listener) or "")
