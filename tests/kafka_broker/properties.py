"""The broker's `server.properties`: one KRaft node on loopback, tuned so that groups settle within a test."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from schemas.topics import MEBIBYTE, TOPICS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

RECORD_OVERHEAD_BYTES = MEBIBYTE
"""Room for keys, headers and batch framing above the largest topic's limit."""

_BROKER_ID: Final = 1
_CONTROLLER_ID: Final = 100
_ALIVE: Final = {
    # A broker that comes back after SIGKILL is refused until the session of its former life ends: 9 s by default.
    "broker.heartbeat.interval.ms": 200,
    "broker.session.timeout.ms": 1000,
}


@dataclass(frozen=True, slots=True)
class Listener:
    """One more way in, beside the plain one: `name://127.0.0.1:port`, spoken as `protocol`."""

    name: str
    port: int
    protocol: str


def server_properties(
    port: int,
    controller_port: int,
    log_folder: Path,
    *,
    is_controller: bool = True,
    listeners: Sequence[Listener] = (),
    overrides: Mapping[str, object] | None = None,
) -> str:
    """Text of `server.properties`. The controller's port may differ at each start on the same data.

    Args:
        port: Of the plain listener.
        controller_port: Of the controller.
        log_folder: Folder of its data.
        is_controller: Whether it is its own; otherwise one runs apart.
        listeners: Further ones.
        overrides: Settings that win over those of here.
    """
    ways_in = [Listener("PLAINTEXT", port, "PLAINTEXT"), *listeners]
    advertised = ",".join(f"{one.name}://127.0.0.1:{one.port}" for one in ways_in)
    largest_message = max(topic.max_message_bytes for topic in TOPICS) + RECORD_OVERHEAD_BYTES
    settings: dict[str, object] = {
        "process.roles": "broker,controller" if is_controller else "broker",
        "node.id": _BROKER_ID,
        "controller.quorum.voters": f"{_BROKER_ID if is_controller else _CONTROLLER_ID}@127.0.0.1:{controller_port}",
        "listeners": f"{advertised},CONTROLLER://127.0.0.1:{controller_port}" if is_controller else advertised,
        "advertised.listeners": advertised,
        "controller.listener.names": "CONTROLLER",
        "listener.security.protocol.map": ",".join(
            ["CONTROLLER:PLAINTEXT", *(f"{one.name}:{one.protocol}" for one in ways_in)]
        ),
        "log.dirs": log_folder,
        "num.partitions": 4,
        # A misspelt topic must fail here as it does on a well-kept cluster.
        "auto.create.topics.enable": "false",
        "message.max.bytes": largest_message,
        "replica.fetch.max.bytes": largest_message,
        "offsets.topic.replication.factor": 1,
        "offsets.topic.num.partitions": 1,
        "transaction.state.log.replication.factor": 1,
        "transaction.state.log.min.isr": 1,
        "transaction.state.log.num.partitions": 1,
        "share.coordinator.state.topic.replication.factor": 1,
        "share.coordinator.state.topic.min.isr": 1,
        # Groups: production defaults are a 3 s first join, 5 s heartbeats and 45 s sessions.
        "group.initial.rebalance.delay.ms": 0,
        "group.min.session.timeout.ms": 1000,
        "group.consumer.min.heartbeat.interval.ms": 100,
        "group.consumer.heartbeat.interval.ms": 200,
        "group.consumer.min.session.timeout.ms": 1000,
        "group.consumer.session.timeout.ms": 6000,
        **_ALIVE,
        # How often transactions left open are looked for: every 10 s by default.
        "transaction.abort.timed.out.transaction.cleanup.interval.ms": 500,
        **(overrides or {}),
    }
    return _as_text(settings)


def controller_properties(port: int, log_folder: Path) -> str:
    """Text of the `server.properties` of a controller that is no broker.

    Args:
        port: Where brokers reach it.
        log_folder: Folder of its data.
    """
    return _as_text(
        {
            "process.roles": "controller",
            "node.id": _CONTROLLER_ID,
            "controller.quorum.voters": f"{_CONTROLLER_ID}@127.0.0.1:{port}",
            "listeners": f"CONTROLLER://127.0.0.1:{port}",
            "controller.listener.names": "CONTROLLER",
            "log.dirs": log_folder,
            **_ALIVE,
        }
    )


def _as_text(settings: Mapping[str, object]) -> str:
    return "".join(f"{name}={value}\n" for name, value in settings.items())
