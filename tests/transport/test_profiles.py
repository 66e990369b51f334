"""The two rows that say what differs between the brokers."""

from __future__ import annotations

import pytest

from transport.profiles import EMBEDDED, KAFKA, BrokerProfile, profile_of


@pytest.mark.parametrize(
    ("cluster_id", "profile"),
    [
        ("mockClusterfe7f21d3", EMBEDDED),
        ("MkU3OEVBNTcwNTJENDM2Qk", KAFKA),
        ("not-a-mockCluster", KAFKA),
        ("", KAFKA),
        (None, KAFKA),
    ],
)
def test_the_cluster_id_tells_the_embedded_broker_from_any_other(
    cluster_id: str | None, profile: BrokerProfile
) -> None:
    assert profile_of(cluster_id) is profile


def test_the_window_of_replies_fits_into_what_a_partition_of_the_embedded_broker_keeps() -> None:
    assert EMBEDDED.max_message_bytes is not None
    assert EMBEDDED.reply_window_bytes + EMBEDDED.max_message_bytes <= 5 * 1024 * 1024
