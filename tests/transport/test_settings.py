"""Options pass through to librdkafka, except those that decide whether messages are lost, and stay secret."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pydantic import ValidationError

from transport.cluster import Cluster
from transport.errors import SettingsError
from transport.profiles import EMBEDDED, KAFKA
from transport.settings import KafkaSettings

if TYPE_CHECKING:
    from pathlib import Path

_SECRET = "correct-horse-battery"


def _with_options(**options: str) -> KafkaSettings:
    return KafkaSettings.model_validate({"options": {name.replace("_", "."): text for name, text in options.items()}})


def test_options_of_the_file_pass_through_as_librdkafka_writes_them(tmp_path: Path) -> None:
    file = tmp_path / "kafka.toml"
    file.write_text('"security.protocol" = "SASL_SSL"\n"enable.ssl.certificate.verification" = false\nretries = 7\n')

    assert KafkaSettings(options_file=file).librdkafka_options() == {
        "security.protocol": "SASL_SSL",
        "enable.ssl.certificate.verification": "false",
        "retries": "7",
    }


def test_options_given_win_over_those_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "kafka.toml"
    file.write_text('"sasl.username" = "from the file"\n"sasl.mechanism" = "PLAIN"\n')
    settings = KafkaSettings.model_validate({"options": {"sasl.username": "given"}, "options_file": file})

    assert settings.librdkafka_options() == {"sasl.username": "given", "sasl.mechanism": "PLAIN"}


@pytest.mark.parametrize(
    "option",
    [
        "auto.offset.reset",
        "bootstrap.servers",
        "enable.auto.commit",
        "delivery.report.only.error",
        "enable.auto.offset.store",
        "enable.idempotence",
        "group.id",
        "transactional.id",
    ],
)
def test_an_option_that_is_ours_to_set_is_refused_by_name(option: str, tmp_path: Path) -> None:
    file = tmp_path / "kafka.toml"
    file.write_text(f'"{option}" = "x"\n')
    given = KafkaSettings.model_validate({"options": {option: "x"}})

    for settings in (given, KafkaSettings(options_file=file)):
        with pytest.raises(SettingsError, match=f"librdkafka option '{option}' is set by kafka-embeddings itself"):
            settings.librdkafka_options()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"security.protocol = 'SSL'\n", 'quote option names that hold dots, for instance "security.'),
        (b"what is this", "is not TOML"),
        (b"\xff\xfe", "is not TOML"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_with_the_reason(content: bytes, says: str, tmp_path: Path) -> None:
    file = tmp_path / "kafka.toml"
    file.write_bytes(content)

    with pytest.raises(SettingsError) as unusable:
        KafkaSettings(options_file=file).librdkafka_options()

    assert says in str(unusable.value)
    assert str(file) in str(unusable.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    file = tmp_path / "absent.toml"

    with pytest.raises(SettingsError, match=f"cannot read .*{file}: No such file"):
        KafkaSettings(options_file=file).librdkafka_options()


def test_values_of_options_show_in_no_rendering_of_the_settings() -> None:
    settings = _with_options(sasl_password=_SECRET)

    assert settings.librdkafka_options() == {"sasl.password": _SECRET}
    for shown in (repr(settings), str(settings), settings.model_dump_json(), str(settings.model_dump())):
        assert "sasl.password" in shown
        assert _SECRET not in shown


def test_a_value_librdkafka_refuses_shows_without_its_neighbours() -> None:
    settings = _with_options(sasl_password=_SECRET, no_such_option="x")

    with pytest.raises(SettingsError) as refused:
        Cluster.probe(settings)

    assert 'No such configuration property: "no.such.option"' in str(refused.value)
    assert _SECRET not in str(refused.value)


def test_an_unknown_setting_is_refused() -> None:
    with pytest.raises(ValidationError, match="extra_forbidden"):
        KafkaSettings.model_validate({"boostrap": "127.0.0.1:9092"})


def test_options_of_producers_reach_no_consumer_and_the_other_way_round() -> None:
    cluster = Cluster(_with_options(compression_type="zstd", fetch_min_bytes="7", client_rack="a"), KAFKA)

    producer, consumer = cluster.producer_config("p"), cluster.consumer_config("c", "g")

    assert (producer["compression.type"], producer["client.rack"]) == ("zstd", "a")
    assert (consumer["fetch.min.bytes"], consumer["client.rack"]) == ("7", "a")
    assert "fetch.min.bytes" not in producer
    assert "compression.type" not in consumer


def test_what_decides_whether_messages_are_lost_is_ours_in_every_client() -> None:
    cluster = Cluster(KafkaSettings(), KAFKA)

    assert cluster.producer_config("p")["enable.idempotence"] is True
    assert cluster.producer_config("p")["partitioner"] == "murmur2_random"
    consumer = cluster.consumer_config("c", "g")
    assert consumer["enable.auto.commit"] is False
    assert consumer["enable.auto.offset.store"] is False
    assert consumer["auto.offset.reset"] == "earliest"


def test_an_option_of_the_user_wins_over_the_brokers_profile() -> None:
    cluster = Cluster(_with_options(fetch_wait_max_ms="50"), EMBEDDED)

    assert cluster.consumer_config("c", "g")["fetch.wait.max.ms"] == "50"
