"""The compose file against the code it starts."""

from __future__ import annotations

import subprocess
import sys

import pytest
import yaml

from schemas.topics import TOPICS
from tests.kafka_broker import KAFKA_VERSION

from .files import COMPOSE, ROOT, only

_SERVICES = COMPOSE["services"]
_COMMANDS = [service["command"] for service in _SERVICES.values() if "command" in service]
_KAFKA = _SERVICES["kafka"]["environment"]


def _help_exit_code(words: list[str]) -> int:
    """Exit code of the command with `--help` behind its words: 0 only where each flag before it exists."""
    command = [sys.executable, "-m", "cli.main", *words, "--help"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, check=False, timeout=60).returncode


@pytest.mark.slow
@pytest.mark.parametrize("words", [*_COMMANDS, only("worker", "CMD").words, only("api", "CMD").words], ids=" ".join)
def test_every_command_a_container_runs_exists_with_its_flags(words: list[str]) -> None:
    assert _help_exit_code(words) == 0


@pytest.mark.parametrize("words", [["worker", "--no-such-flag"], ["no-such-command"]], ids=" ".join)
def test_a_command_or_flag_that_does_not_exist_is_noticed(words: list[str]) -> None:
    assert _help_exit_code(words) == 2


def test_the_services_are_kafka_topics_worker_and_api() -> None:
    assert list(_SERVICES) == ["kafka", "topics", "worker", "api"]


def test_compose_and_the_tests_run_the_same_kafka() -> None:
    assert _SERVICES["kafka"]["image"] == f"apache/kafka:{KAFKA_VERSION}"


@pytest.mark.parametrize("setting", ["KAFKA_MESSAGE_MAX_BYTES", "KAFKA_REPLICA_FETCH_MAX_BYTES"])
def test_the_broker_takes_the_largest_message_of_the_table(setting: str) -> None:
    assert int(_KAFKA[setting]) > max(topic.max_message_bytes for topic in TOPICS)


def test_containers_connect_to_the_address_kafka_advertises_to_them() -> None:
    advertised = dict(entry.split("://") for entry in _KAFKA["KAFKA_ADVERTISED_LISTENERS"].split(","))

    used = {words[words.index("--bootstrap") + 1] for words in _COMMANDS}

    assert used == {advertised["INTERNAL"]}


def test_the_host_reaches_the_listener_that_is_published_on_loopback_only() -> None:
    advertised = dict(entry.split("://") for entry in _KAFKA["KAFKA_ADVERTISED_LISTENERS"].split(","))
    port = advertised["HOST"].removeprefix("localhost:")

    assert _SERVICES["kafka"]["ports"] == [f"127.0.0.1:{port}:{port}"]
    assert f"HOST://:{port}" in _KAFKA["KAFKA_LISTENERS"].split(",")


def test_the_api_is_published_on_loopback_at_the_port_it_listens_on() -> None:
    command = _SERVICES["api"]["command"]
    port = command[command.index("--port") + 1]

    assert _SERVICES["api"]["ports"] == [f"127.0.0.1:{port}:{port}"]


def test_worker_and_api_wait_for_the_topics_and_these_for_a_healthy_kafka() -> None:
    conditions = {
        name: {other: wait["condition"] for other, wait in service.get("depends_on", {}).items()}
        for name, service in _SERVICES.items()
    }

    assert conditions == {
        "kafka": {},
        "topics": {"kafka": "service_healthy"},
        "worker": {"topics": "service_completed_successfully"},
        "api": {"topics": "service_completed_successfully"},
    }


def test_each_image_is_built_once_from_the_target_of_its_name() -> None:
    targets = {service["image"]: service["build"]["target"] for service in _SERVICES.values() if "build" in service}

    assert targets == {"kafka-embeddings-api": "api", "kafka-embeddings-worker": "worker"}


def test_every_volume_mounted_is_declared() -> None:
    mounted = {volume.split(":")[0] for service in _SERVICES.values() for volume in service.get("volumes", [])}

    assert mounted == set(COMPOSE["volumes"])


def test_the_gpu_file_gives_a_device_to_the_worker_alone() -> None:
    override = yaml.safe_load((ROOT / "deploy" / "compose.gpu.yml").read_text())

    assert list(override["services"]) == ["worker"]
    (device,) = override["services"]["worker"]["deploy"]["resources"]["reservations"]["devices"]
    assert device["capabilities"] == ["gpu"]


def test_the_workers_probe_asks_the_port_it_is_told_to_listen_on_in_the_container() -> None:
    worker = _SERVICES["worker"]
    flags = dict(zip(worker["command"][1::2], worker["command"][2::2], strict=True))

    assert flags["--metrics-host"] == "0.0.0.0"
    assert f"http://127.0.0.1:{flags['--metrics-port']}/health/ready" in worker["healthcheck"]["test"][-1]
    assert "ports" not in worker
