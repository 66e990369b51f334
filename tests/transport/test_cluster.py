"""A broker that is not there: said clearly and soon, and found when it comes."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from transport.cluster import Cluster
from transport.errors import BrokerUnavailableError, SettingsError
from transport.known_topics import KnownTopics
from transport.profiles import KAFKA
from transport.settings import KafkaSettings

from .port import Port
from .testbed import BOUND_SECONDS, wait_until

if TYPE_CHECKING:
    from transport.embedded import EmbeddedBroker


def test_a_probe_of_a_closed_port_names_it_and_the_flag() -> None:
    with Port() as port:
        settings = KafkaSettings(bootstrap=port.address)
        with pytest.raises(BrokerUnavailableError) as away:
            Cluster.probe(settings, timeout_seconds=0.2)

    assert str(away.value).startswith(f"no Kafka broker answers at {port.address}: start one, or set --bootstrap (")


@pytest.mark.slow
def test_a_broker_that_is_not_there_is_said_within_two_seconds_and_found_when_it_comes(
    embedded_broker: EmbeddedBroker,
) -> None:
    stop, found = threading.Event(), list[Cluster | None]()
    with Port() as port, capture_logs() as lines:
        settings = KafkaSettings(bootstrap=port.address)
        waiting = threading.Thread(target=lambda: found.append(Cluster.connect(settings, stop)), daemon=True)
        started = time.monotonic()
        waiting.start()
        assert wait_until(lambda: any(line["log_level"] == "warning" for line in lines))
        said_after_seconds = time.monotonic() - started
        assert found == []
        port.open(embedded_broker.bootstrap)
        waiting.join(BOUND_SECONDS)
    (cluster,) = found
    warnings = [line["event"] for line in lines if line["log_level"] == "warning"]

    assert said_after_seconds < 2
    assert cluster is not None
    assert cluster.profile.name == "embedded"
    assert len(warnings) == 1
    assert warnings[0].startswith(f"no Kafka broker answers at {port.address}: ")
    assert {"event": "connected", "broker": "embedded", "bootstrap": port.address, "log_level": "info"} in lines


class _MinuteOfSeconds(threading.Event):
    """A stop whose waits pass on a clock of their own, and which is set after 65 seconds of it."""

    now_seconds = 0.0

    def wait(self, timeout: float | None = None) -> bool:
        self.now_seconds += timeout or 0
        if self.now_seconds >= 65:
            self.set()
        return self.is_set()


def test_a_broker_that_stays_away_is_said_again_every_half_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    stop, waited_seconds = _MinuteOfSeconds(), list[float]()

    def probe(_: KafkaSettings, timeout_seconds: float) -> Cluster:
        waited_seconds.append(timeout_seconds)
        raise BrokerUnavailableError("nobody there")

    monkeypatch.setattr(Cluster, "probe", probe)
    with monkeypatch.context() as patched, capture_logs() as lines:
        patched.setattr("transport.cluster.time.monotonic", lambda: stop.now_seconds)
        assert Cluster.connect(KafkaSettings(), stop) is None

    assert [line["event"] for line in lines] == ["nobody there"] * 3
    # The first look is short, so that it is said soon; later ones leave a slow broker its time.
    assert waited_seconds == [1.0, *[5.0] * (len(waited_seconds) - 1)]
    # It is asked again after 1 s at the most, later after 2 s, and never sooner than after half of that.
    assert 65 / 2 <= len(waited_seconds) <= 65 + 2


def test_waiting_for_a_broker_ends_when_it_is_stopped() -> None:
    stop = threading.Event()
    stop.set()

    assert Cluster.connect(KafkaSettings(bootstrap="127.0.0.1:1"), stop) is None


def test_settings_librdkafka_refuses_end_the_wait_at_once() -> None:
    settings = KafkaSettings.model_validate({"options": {"security.protocol": "telepathy"}})

    with pytest.raises(SettingsError, match=r"librdkafka refuses the settings: .*security\.protocol"):
        Cluster.connect(settings, threading.Event())


def test_topics_cannot_be_told_while_the_broker_is_away_and_publishing_is_tried_anyway() -> None:
    with Port() as port, capture_logs() as lines:
        cluster = Cluster(KafkaSettings(bootstrap=port.address), KAFKA)
        with pytest.raises(BrokerUnavailableError, match=f"no Kafka broker answers at {port.address}"):
            cluster.topics(timeout_seconds=0.2)
        known = KnownTopics(cluster)
        cluster.topics = lambda _=0: Cluster.topics(cluster, 0.2)  # type: ignore[method-assign,misc,assignment]

        assert known.has("some-topic", 3)
        # Nor is it taken for absent by the next who asks.
        assert known.has("some-topic", 3)

    assert "cannot look up topics, publishing anyway" in [line["event"] for line in lines]
