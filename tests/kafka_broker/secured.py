"""A broker that lets in whom it knows, by password or certificate, and each of them to what its ACLs say."""

from __future__ import annotations

import shutil
import tempfile
import time
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final

from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    NewTopic,
    ResourcePatternType,
    ResourceType,
)

from .broker import KafkaBroker
from .certificates import Authority
from .process import free_port
from .properties import Listener

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

WAYS: Final = {
    "plain": ("SASL", "SASL_PLAINTEXT", "PLAIN"),
    "scram-256": ("SASL", "SASL_PLAINTEXT", "SCRAM-SHA-256"),
    "plain-tls": ("SASL_TLS", "SASL_SSL", "PLAIN"),
    "scram-512-tls": ("SASL_TLS", "SASL_SSL", "SCRAM-SHA-512"),
    "certificate": ("TLS", "SSL", None),
}
"""Way to be let in -> listener, protocol, SASL's mechanism."""

_ANY: Final = AclBindingFilter(
    ResourceType.ANY, None, ResourcePatternType.ANY, None, None, AclOperation.ANY, AclPermissionType.ANY
)
_BOUND_SECONDS: Final = 30.0
_SCRAM: Final = ("SCRAM-SHA-256", "SCRAM-SHA-512")


class SecuredBroker(KafkaBroker):
    """An Apache Kafka with a listener for each way to be let in, and nothing allowed that no ACL allows.

    The plain listener is the operator's: whoever comes that way is a super user. `SASL`, `TLS` and `SASL_TLS` are
    everybody else's; `TLS` asks for a certificate, whose name is the user's.

    Args:
        users: Passwords by user, for PLAIN and both kinds of SCRAM.
    """

    def __init__(self, users: Mapping[str, str]) -> None:
        self.users = dict(users)
        self._folder = Path(tempfile.mkdtemp(prefix="kafka-certificates-"))
        self.authority = Authority(self._folder)
        self._ports = {name: free_port() for name in ("SASL", "TLS", "SASL_TLS")}
        protocols = {"SASL": "SASL_PLAINTEXT", "TLS": "SSL", "SASL_TLS": "SASL_SSL"}
        super().__init__(
            listeners=[Listener(name, port, protocols[name]) for name, port in self._ports.items()],
            properties=self._security(users),
            # Kafka's own tool makes the users, before the first start.
            format_arguments=[
                part
                for name, password in users.items()
                for mechanism in _SCRAM
                for part in ("--add-scram", f"{mechanism}=[name={name},password={password}]")
            ],
        )

    def bootstrap_of(self, listener: str) -> str:
        """Address of a listener."""
        return f"127.0.0.1:{self._ports[listener]}"

    def address(self, way: str) -> str:
        """Where one of `WAYS` leads in."""
        return self.bootstrap_of(WAYS[way][0])

    def options(self, user: str, way: str) -> dict[str, str]:
        """librdkafka's options that let a user in that way."""
        _, protocol, mechanism = WAYS[way]
        options = {"security.protocol": protocol}
        if protocol.endswith("SSL"):
            options["ssl.ca.location"] = str(self.authority.certificate)
        if mechanism is None:
            own = self.authority.issue(user)
            return options | {
                "ssl.certificate.location": str(own.certificate),
                "ssl.key.location": str(own.key),
            }
        return options | {
            "sasl.mechanism": mechanism,
            "sasl.username": user,
            "sasl.password": self.users[user],
        }

    def allow(self, *bindings: AclBinding) -> None:
        """Add ACLs; in force when this returns."""
        for added in self._operator.create_acls(list(bindings)).values():
            added.result(_BOUND_SECONDS)
        self._wait_until(lambda known: all(str(one) in known for one in bindings))

    def forbid(self, *bindings: AclBinding) -> None:
        """Take ACLs away; out of force when this returns."""
        for removed in self._operator.delete_acls([_exactly(one) for one in bindings]).values():
            assert removed.result(_BOUND_SECONDS)
        self._wait_until(lambda known: not any(str(one) in known for one in bindings))

    @contextmanager
    def without(self, *bindings: AclBinding) -> Iterator[None]:
        """Take ACLs away for a while."""
        self.forbid(*bindings)
        try:
            yield
        finally:
            self.allow(*bindings)

    def _wait_until(self, told: Callable[[set[str]], bool]) -> None:
        """The broker follows its controller a moment later."""
        until = time.monotonic() + _BOUND_SECONDS
        while not told({str(one) for one in self._operator.describe_acls(_ANY).result(_BOUND_SECONDS)}):
            assert time.monotonic() < until, "the broker does not learn of its ACLs"
            time.sleep(0.01)

    def create_topic(self, name: str, partitions: int = 1) -> None:
        """Make a topic, known to whoever asks when this returns."""
        self._operator.create_topics([NewTopic(name, partitions)])[name].result(_BOUND_SECONDS)

    def stop(self) -> None:
        super().stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    @cached_property
    def _operator(self) -> AdminClient:
        return AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})

    def _security(self, users: Mapping[str, str]) -> dict[str, object]:
        server = self.authority.issue("server")
        keystore = self._folder / "server-and-key.pem"
        keystore.write_text(server.key.read_text() + server.certificate.read_text())
        known = " ".join(f'user_{name}="{password}"' for name, password in users.items())
        plain = f"org.apache.kafka.common.security.plain.PlainLoginModule required {known};"
        scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
        properties: dict[str, object] = {
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:ANONYMOUS",
            "sasl.enabled.mechanisms": ",".join(("PLAIN", *_SCRAM)),
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": keystore,
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": self.authority.certificate,
            "listener.name.tls.ssl.client.auth": "required",
            "ssl.principal.mapping.rules": "RULE:^CN=(.*?)$/$1/,DEFAULT",
        }
        for listener in ("sasl", "sasl_tls"):
            properties[f"listener.name.{listener}.plain.sasl.jaas.config"] = plain
            for mechanism in _SCRAM:
                properties[f"listener.name.{listener}.{mechanism.lower()}.sasl.jaas.config"] = scram
        return properties


def _exactly(one: AclBinding) -> AclBindingFilter:
    return AclBindingFilter(
        one.restype,
        one.name,
        one.resource_pattern_type,
        one.principal,
        one.host,
        one.operation,
        one.permission_type,
    )
