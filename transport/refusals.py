"""Tells a broker that does not let us in from one that is not there: only the second one is worth waiting for."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from confluent_kafka import KafkaError

from .errors import AccessDeniedError
from .listener import ask_listener, why_not_spoken

if TYPE_CHECKING:
    from .settings import KafkaSettings

_AUTHENTICATION: Final = frozenset({KafkaError._AUTHENTICATION, KafkaError.SASL_AUTHENTICATION_FAILED})
_UNTRUSTED: Final = re.compile(r"certificate verify failed")
_UNKNOWN_TO_BROKER: Final = re.compile(r"alert (?:[a-z ]*certificate[a-z ]*|unknown ca)")
_ADDRESS: Final = re.compile(r"^(?:\w+://)?([^/ ]+)/\w+: ")
_NOBODY: Final = re.compile(r"Connect to |Failed to resolve")
_CIRCUMSTANCE: Final = re.compile(r" \(after \d+ms in state \w+.*?\)$")


class Refusals:
    """`error_cb` of the client that looks for a broker: keeps the first error that waiting cannot cure."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._reason: str | None = None
        self._not_there: set[str] = set()

    def __call__(self, error: KafkaError) -> None:
        address = _ADDRESS.match(error.str())
        if address is not None and _NOBODY.match(error.str(), address.end()):
            self._not_there.add(address.group(1))
        self._reason = self._reason or _reason(error, self._settings.bootstrap)

    def raise_any(self) -> None:
        """Say why the broker does not let us in, if it is that. May ask its listeners what they speak.

        Raises:
            AccessDeniedError: It is.
        """
        if self._reason is None:
            self._ask_listeners()
        if self._reason is not None:
            raise AccessDeniedError(self._reason)

    def _ask_listeners(self) -> None:
        """The first one that says what it speaks tells for all: they are of one cluster."""
        for given in self._settings.bootstrap.split(","):
            address = given.strip().rpartition("://")[2]
            listener = None if address in self._not_there else ask_listener(address)
            if listener is not None:
                self._reason = why_not_spoken(self._settings.librdkafka_options(), address, listener)
                return


def _reason(error: KafkaError, bootstrap: str) -> str | None:
    said = _CIRCUMSTANCE.sub("", _ADDRESS.sub("", error.str()))
    if _UNTRUSTED.search(said):
        return (
            f"the certificate of the broker at {bootstrap} is not trusted: set ssl.ca.location to the authority that "
            f"issued it, and reach it by a host that it names ({said.partition(': broker certificate')[0]})"
        )
    if _UNKNOWN_TO_BROKER.search(said):
        return (
            f"the broker at {bootstrap} does not take our certificate: set ssl.certificate.location and "
            f"ssl.key.location to one from an authority that it trusts ({said})"
        )
    # A connection that ends meanwhile is no answer; one that is of the wrong protocol is told by the listener.
    if error.code() in _AUTHENTICATION and "isconnected" not in said and "SASL state" not in said:
        return (
            f"the broker at {bootstrap} does not let us in: check sasl.username, sasl.password and sasl.mechanism "
            f"({said})"
        )
    return None
