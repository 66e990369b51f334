"""What a broker's listener speaks, asked without librdkafka: a client of the wrong protocol is only hung up on.

Of use once a client gets no answer, to tell a broker that is not there from one that is spoken to wrongly. One
request of Kafka's protocol is enough: SaslHandshake with no mechanism is answered with those there are, or with an
error where there is no SASL. Source: https://kafka.apache.org/protocol (SaslHandshake, key 17, version 1).
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_HANDSHAKE: Final = struct.pack(">ihhihh", 12, 17, 1, 1, -1, 0)
"""Size, key, version, correlation id, no client id, a mechanism without a name."""
_NO_SASL: Final = 34
_LONGEST_BYTES: Final = 4096


@dataclass(frozen=True, slots=True)
class Listener:
    """What one address speaks.

    Attributes:
        is_tls: Whether it wants TLS.
        mechanisms: SASL's mechanisms; empty: no SASL; None: it does not say, to those without a certificate for one.
    """

    is_tls: bool
    mechanisms: tuple[str, ...] | None

    @property
    def protocol(self) -> str:
        """As `security.protocol` names it."""
        return ("SASL_" if self.mechanisms else "") + ("SSL" if self.is_tls else "PLAINTEXT")


def ask_listener(address: str, timeout_seconds: float = 1.0) -> Listener | None:
    """What the listener at `host:port` speaks; None when it does not say. Blocks up to four times the time."""
    try:
        with _connect(address, timeout_seconds) as line:
            mechanisms = _ask(line)
        if mechanisms is not None:
            return Listener(False, mechanisms)
        # Only what it speaks is asked, nothing is told: whose certificate it is does not matter here.
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with context.wrap_socket(_connect(address, timeout_seconds)) as line:
            return Listener(True, _ask(line))
    except (OSError, ValueError):
        return None


def why_not_spoken(options: Mapping[str, str], address: str, listener: Listener) -> str | None:
    """What is wrong with the options for this listener, and the setting that puts it right; None: nothing is."""
    given = options.get("security.protocol", "plaintext").upper()
    with_tls, with_sasl = given.endswith("SSL"), given.startswith("SASL_")
    sasl_fits = listener.mechanisms is None or bool(listener.mechanisms) == with_sasl
    known = ", ".join(listener.mechanisms or ())
    if with_tls != listener.is_tls or not sasl_fits:
        wanted = listener.protocol
        if listener.mechanisms is None and with_sasl:
            wanted = "SASL_SSL or SSL"
        also = f", and sasl.mechanism to one of {known}" if known else ""
        return (
            f"{address} speaks {wanted}, not {given}: set security.protocol to {wanted}{also}, "
            "or name another listener with --bootstrap"
        )
    mechanism = options.get("sasl.mechanism", options.get("sasl.mechanisms", "GSSAPI"))
    if listener.mechanisms and mechanism.upper() not in listener.mechanisms:
        return f"{address} takes {known}, not {mechanism}: set sasl.mechanism to one of them"
    return None


def _ask(line: socket.socket) -> tuple[str, ...] | None:
    """Mechanisms of SASL, none where there is no SASL; None when the answer is not Kafka's."""
    with contextlib.suppress(OSError, ValueError, struct.error):
        line.sendall(_HANDSHAKE)
        with line.makefile("rb") as answers:
            size, correlation_id = struct.unpack(">ii", answers.read(8))
            if correlation_id == 1 and 6 <= size - 4 <= _LONGEST_BYTES:
                return _mechanisms(answers.read(size - 4))
    return None


def _mechanisms(answer: bytes) -> tuple[str, ...]:
    error, count = struct.unpack_from(">hi", answer)
    if error == _NO_SASL:
        return ()
    names, at = [], 6
    for _ in range(count):
        (length,) = struct.unpack_from(">h", answer, at)
        names.append(answer[at + 2 : at + 2 + length].decode())
        at += 2 + length
    return tuple(sorted(names))


def _connect(address: str, timeout_seconds: float) -> socket.socket:
    host, _, port = address.rpartition(":")
    return socket.create_connection((host.strip("[]"), int(port)), timeout_seconds)
