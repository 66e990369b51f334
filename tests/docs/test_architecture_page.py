"""The numbers of `docs/architecture.md` are those of the code."""

from __future__ import annotations

import pytest

from api.settings import ApiSettings
from client.settings import ClientSettings
from schemas.topics import MEBIBYTE
from transport.profiles import EMBEDDED, KAFKA
from transport.settings import KafkaSettings
from worker.encoder.calibration import CANDIDATES
from worker.settings import BatchSettings, BoundSettings, WorkerSettings

from .pages import DOCS

_PAGE = (DOCS / "architecture.md").read_text()
_WORKER, _API = WorkerSettings.model_fields, ApiSettings.model_fields
_FACTS: list[tuple[str, object, object]] = [
    ("262,144 tokens and 256 MiB", (BoundSettings().tokens, BoundSettings().bytes), (262_144, 256 * MEBIBYTE)),
    ("10,000 messages of one partition", BoundSettings().messages_past_watermark, 10_000),
    ("It commits once a second", _WORKER["commit_every_seconds"].default, 1.0),
    ("never more than 512 inputs", BatchSettings().max_inputs, 512),
    ("bulk keeps a fifth of the tokens", BatchSettings().bulk_share, 0.2),
    ("cut to 50 ms of the device's measured speed", BatchSettings().interactive_bulk_seconds, 0.05),
    ("waits up to 3 s for what is under way", _WORKER["revoke_timeout_seconds"].default, 3.0),
    ("`drain_timeout_seconds` (30)", _WORKER["drain_timeout_seconds"].default, 30.0),
    ("for up to 10 s, and exits with 0", _API["drain_timeout_seconds"].default, 10.0),
    (
        "more than 64 inputs or 512 KiB",
        (ClientSettings().part_inputs, ClientSettings().part_bytes),
        (64, MEBIBYTE // 2),
    ),
    ("128 MiB of bodies and answers under way", _API["max_in_flight_bytes"].default, 128 * MEBIBYTE),
    ("4,194,304 tokens of them", _API["max_in_flight_tokens"].default, 4_194_304),
    ("64 MiB of expected replies", ClientSettings().window_bytes, 64 * MEBIBYTE),
    ("its partitions move after 6 s", KafkaSettings().session_timeout_seconds, 6.0),
    ("| 64 for every topic but `workers` |", EMBEDDED.partitions, 64),
    ("| 1 MiB | the topic's own limit |", (EMBEDDED.max_message_bytes, KAFKA.max_message_bytes), (MEBIBYTE, None)),
    (
        "| 2 MiB | 64 MiB |",
        (EMBEDDED.reply_window_bytes, KAFKA.reply_window_bytes),
        (2 * MEBIBYTE, 64 * MEBIBYTE),
    ),
    ("| `consumer` | `classic`, ", (EMBEDDED.group_protocol, KAFKA.group_protocol), ("consumer", "classic")),
    (
        "| `fetch.wait.max.ms` where somebody waits; where nobody does | 2; 20 | 500 |",
        (EMBEDDED.prompt_fetch_ms, EMBEDDED.patient_fetch_ms, KAFKA.prompt_fetch_ms, KAFKA.patient_fetch_ms),
        (2, 20, 500, 500),
    ),
]


@pytest.mark.parametrize(("said", "value", "meant"), _FACTS, ids=[fact[0] for fact in _FACTS])
def test_a_number_of_the_page_is_the_one_in_force(said: str, value: object, meant: object) -> None:
    assert said in _PAGE
    assert value == meant


def test_the_budgets_of_a_batch_are_those_of_the_page() -> None:
    cpu, gpu = CANDIDATES["cpu"], CANDIDATES["cuda"]

    assert f"{min(cpu):,} to {max(cpu):,} on a CPU, of {min(gpu):,} to {max(gpu):,} on a GPU" in _PAGE
