"""`kafka-embeddings dlq` on both brokers: what is listed, shown, replayed and purged, and what is not."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from confluent_kafka import Producer

from schemas.errors import ErrorCode

if TYPE_CHECKING:
    from .morgue import Morgue


def lines(out: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.splitlines()]


def outcomes(out: str) -> dict[str, str]:
    return {line["place"]: line["outcome"] for line in lines(out)}


# --- list and show --------------------------------------------------------------------------------------------


def test_the_list_shows_the_newest_and_counts_all_of_them(embedded_morgue: Morgue) -> None:
    morgue = embedded_morgue
    for number in range(3):
        morgue.dead(key=b"doc-%d" % number)
    morgue.dead(code=ErrorCode.NO_ID, partition=1)

    status, out, errors = morgue.dlq("list", "--limit", "2")

    assert (status, errors) == (0, "")
    assert ("doc-1" in out, "doc-2" in out) == (False, True)
    assert f"dead letters on {morgue.topics.dead_letters}: 4, the newest 2 shown" in out
    counted = {tuple(line.split()[:2]) for line in out.splitlines() if line.strip()}
    assert {("3", "not_json"), ("1", "no_id")} <= counted


def test_the_list_for_programs_has_a_line_each_that_says_where_it_came_from(morgue: Morgue) -> None:
    request = morgue.request(b'{"id": "r1"}', key=b"\xff", partition=2)
    place = morgue.bury(request, ErrorCode.INVALID_REQUEST, attempt=2)

    status, out, _ = morgue.dlq("list", "--json")

    assert status == 0
    [line] = lines(out)
    assert line.pop("timestamp_ms") > 0
    assert line == {
        "place": place,
        "code": "invalid_request",
        "key_base64": "/w==",
        "id": "r1",
        "payload_bytes": 12,
        "message": "no good",
        "attempt": 2,
        "topic": morgue.topics.requests,
        "partition": 2,
        "offset": request.offset,
        "origin_timestamp_ms": 1_700_000_000_000,
        "worker": "w1",
        "left_out": "",
    }


def test_filters_leave_what_is_meant(embedded_morgue: Morgue) -> None:
    morgue = embedded_morgue
    other = morgue.request(b'{"id": "r1"}', key=b"k", topic=morgue.topics.requests_interactive, partition=3)
    wanted = morgue.bury(other, ErrorCode.INTERNAL_ERROR)
    morgue.dead(key=b"other")

    for filters in (
        ["--code", "internal_error"],
        ["--topic", other.topic],
        ["--partition", "3"],
        ["--partition", "3", "--offset", str(other.offset)],
        ["--key", "k"],
        ["--id", "r1"],
        ["--code", "internal_error", "--slug", "", "--since", "1h"],
    ):
        _, out, errors = morgue.dlq("list", "--json", *filters)
        assert [line["place"] for line in lines(out)] == [wanted], (filters, errors)
    for filters in (["--slug", "bge-m3"], ["--until", "1h"], ["--since", "2100-01-01"], ["--key", "k", "--id", "x"]):
        assert morgue.dlq("list", "--json", *filters)[:2] == (0, ""), filters


def test_an_empty_topic_is_said_to_be_empty(embedded_morgue: Morgue) -> None:
    morgue = embedded_morgue
    assert morgue.dlq("list") == (0, f"dead letters on {morgue.topics.dead_letters}: 0\n", "")
    assert morgue.dlq("list", "--json") == (0, "", "")


def test_one_is_shown_with_its_headers_and_its_payload_only_when_asked_for(embedded_morgue: Morgue) -> None:
    morgue = embedded_morgue
    request = morgue.request(b"secret \x1b[31mtext", key=b"doc", headers=[("mine", b"\xff1"), ("none", None)])
    place = morgue.bury(request)

    status, out, _ = morgue.dlq("show", place)
    _, full, _ = morgue.dlq("show", place, "--payload")
    _, told, _ = morgue.dlq("show", place, "--payload", "--json")

    assert status == 0
    assert "secret" not in out
    for shown in ("no good", "not_json", f"{request.topic} 0:{request.offset}", "doc", "header mine", "16 bytes"):
        assert shown in out
    assert "secret \\x1b[31mtext" in full
    [line] = lines(told)
    assert line["payload"] == "secret \x1b[31mtext"
    assert line["headers"][:2] == [{"name": "mine", "value_base64": "/zE="}, {"name": "none", "value": None}]


def test_a_place_without_a_dead_letter_is_named(embedded_morgue: Morgue) -> None:
    for named, status, said in (
        ("0:99", 1, "no dead letter at 0:99"),
        ("999:0", 1, "partitions, from 0: see `dlq list`"),
        ("doc-1", 2, "no place 'doc-1': name a dead letter by PARTITION:OFFSET"),
    ):
        ended, out, errors = embedded_morgue.dlq("show", named)

        [line] = errors.splitlines()
        assert (ended, out) == (status, "")
        assert line.startswith("kafka-embeddings: ")
        assert said in line


def test_a_prefix_without_topics_is_named(embedded_morgue: Morgue) -> None:
    morgue = embedded_morgue
    status, _, errors = morgue.run_here(
        "dlq", "list", "--bootstrap", morgue.cluster.settings.bootstrap, "--prefix", "nobody-has-this"
    )

    assert status == 2
    assert "no topic nobody-has-this.requests.dlq" in errors


def test_what_cannot_be_meant_ends_with_status_2(embedded_morgue: Morgue) -> None:
    for arguments, said in (
        (["list", "--code", "not-json"], "no code 'not-json'"),
        (["list", "--since", "yesterday"], "no time 'yesterday'"),
        (["list", "--slug", "No!"], "model slug 'No!'"),
        (["purge"], "name a filter (--until 7d, --code not_json), or --all"),
        (["purge", "--all", "--key", "k"], "give one of them"),
        (["purge", "--all"], "the embedded broker cannot delete messages"),
        (["purge", "--all", "--dry-run"], "the embedded broker cannot delete messages"),
    ):
        status, _, errors = embedded_morgue.dlq(*arguments)

        assert (status, len(errors.splitlines())) == (2, 1)
        assert said in errors


def test_what_is_no_dead_letter_is_listed_and_never_replayed(embedded_morgue: Morgue) -> None:
    morgue = embedded_morgue
    stray = morgue.request(b"stray", topic=morgue.topics.dead_letters)
    elsewhere = morgue.bury(stray._replace(topic=morgue.topics.responses, headers=()))

    _, listed, _ = morgue.dlq("list", "--json")
    _, told, _ = morgue.dlq("replay", "--json", "--force")

    assert [line["code"] for line in lines(listed)] == ["unknown", "not_json"]
    assert outcomes(told) == {"0:0": "not from a request topic", elsewhere: "not from a request topic"}
    assert morgue.on(morgue.topics.responses) == []


# --- replay -----------------------------------------------------------------------------------------------------


def test_a_replay_has_the_original_bytes_key_and_headers_and_nobody_who_waits(morgue: Morgue) -> None:
    original = [
        ("mine", b"\xff\x00"),
        ("mine", b"again"),
        ("none", None),
        ("deadline", b"1"),
        ("kafka_correlationId", b"c"),
        ("kafka_replyTopic", b"t"),
        ("kafka_replyPartition", b"\0\0\0\1"),
        ("kafka_other", b"x"),
        ("traceparent", b"00-a"),
    ]
    request = morgue.request(b"\x00\xff bytes", key=b"\xfe", headers=original, partition=5)
    place = morgue.bury(request, attempt=2)

    status, out, errors = morgue.dlq("replay", "--json")

    assert (status, errors) == (0, "")
    assert outcomes(out) == {place: "replayed"}
    first, again = morgue.on(request.topic, 5)
    assert (again.key, again.value) == (b"\xfe", b"\x00\xff bytes")
    assert again.offset > first.offset
    assert again.headers == (
        ("mine", b"\xff\x00"),
        ("mine", b"again"),
        ("none", None),
        ("traceparent", b"00-a"),
        ("replay-attempt", b"2"),
        ("replay-of", f"5:{request.offset}".encode()),
    )


def test_absent_and_empty_stay_apart_in_a_replay(morgue: Morgue) -> None:
    pairs: list[tuple[bytes | None, bytes | None]] = [(None, b"v"), (b"", b""), (b"k", None)]
    for partition, (key, value) in enumerate(pairs):
        morgue.bury(morgue.request(value, key=key, partition=partition))

    morgue.dlq("replay")

    for partition, pair in enumerate(pairs):
        _, again = morgue.on(morgue.topics.requests, partition)
        assert (again.key, again.value) == pair


def test_a_second_replay_sends_nothing_whether_or_not_there_is_a_key_and_even_when_forced(morgue: Morgue) -> None:
    places = [morgue.dead(key=None), morgue.dead(key=b"k")]
    morgue.dlq("replay")
    before = morgue.on(morgue.topics.requests)

    _, out, _ = morgue.dlq("replay", "--json")
    _, forced, _ = morgue.dlq("replay", "--json", "--force")

    assert outcomes(out) == outcomes(forced) == dict.fromkeys(places, "already replayed")
    assert len(morgue.on(morgue.topics.requests)) == len(before) == 4


def test_a_message_that_became_a_dead_letter_twice_is_replayed_once(embedded_morgue: Morgue) -> None:
    morgue = embedded_morgue
    request = morgue.request(b"v")
    first, second = morgue.bury(request), morgue.bury(request)

    _, out, _ = morgue.dlq("replay", "--json")

    assert outcomes(out) == {first: "replayed", second: "already replayed"}
    assert len(morgue.on(request.topic)) == 2


def test_a_key_with_a_newer_message_is_skipped_unless_forced(morgue: Morgue) -> None:
    old = morgue.dead(b"old", key=b"doc")
    newer = morgue.dead(b"newer, dead as well", key=b"doc")
    other_partition = morgue.bury(morgue.request(b"of another partition", key=b"doc", partition=1))

    _, out, _ = morgue.dlq("replay", "--json", "--dry-run")
    assert outcomes(out) == {
        old: "a newer message has its key",
        newer: "replayed",
        other_partition: "replayed",
    }
    _, forced, _ = morgue.dlq("replay", "--json", "--force", old)

    assert outcomes(forced) == {old: "replayed"}
    assert morgue.on(morgue.topics.requests)[-1].value == b"old"


def test_what_has_failed_too_often_is_replayed_only_by_raising_the_limit(embedded_morgue: Morgue) -> None:
    morgue = embedded_morgue
    place = morgue.dead(attempt=3)

    _, out, _ = morgue.dlq("replay", "--json", "--force")
    assert outcomes(out) == {place: "failed too often"}
    _, raised, _ = morgue.dlq("replay", "--json", "--max-attempts", "4")

    assert outcomes(raised) == {place: "replayed"}


def test_what_lacks_its_bytes_is_not_replayed(embedded_morgue: Morgue) -> None:
    morgue = embedded_morgue
    place = morgue.dead(b"", left_out="headers,payload")

    status, out, _ = morgue.dlq("replay", "--json", "--force")

    assert (status, outcomes(out)) == (0, {place: "its bytes or headers were left out"})


def test_a_topic_or_partition_that_is_gone_is_said_to_be(embedded_morgue: Morgue) -> None:
    morgue = embedded_morgue
    of_model = morgue.request(b"v")._replace(topic=f"{morgue.topics.prefix}.gone.requests")
    places = [morgue.bury(of_model), morgue.bury(morgue.request(b"v")._replace(partition=4711))]

    _, out, _ = morgue.dlq("replay", "--json", "--force")

    assert outcomes(out) == dict.fromkeys(places, "its topic or partition is gone")


def test_a_dry_run_and_a_limit_send_no_more_than_they_say(embedded_morgue: Morgue) -> None:
    morgue = embedded_morgue
    for number in range(3):
        morgue.dead(key=b"%d" % number)

    _, dry, _ = morgue.dlq("replay", "--dry-run")
    assert "dead letters that would be replayed: 3" in dry
    assert len(morgue.on(morgue.topics.requests)) == 3
    _, out, _ = morgue.dlq("replay", "--limit", "2")

    assert "dead letters replayed: 2" in out
    assert any(line.split()[:4] == ["1", "over", "the", "limit"] for line in out.splitlines())
    assert len(morgue.on(morgue.topics.requests)) == 5
    _, rest, _ = morgue.dlq("replay")
    assert "dead letters replayed: 1" in rest


# --- on a real Kafka only ---------------------------------------------------------------------------------------


def test_where_messages_behind_it_are_deleted_a_replay_waits_for_force(kafka_morgue: Morgue) -> None:
    morgue = kafka_morgue
    place = morgue.dead(key=b"doc")
    for _ in range(2):
        morgue.request(b"another")
    morgue.shorten(morgue.topics.requests, 2)

    _, out, _ = morgue.dlq("replay", "--json")
    assert outcomes(out) == {place: "messages behind it are deleted"}
    _, forced, _ = morgue.dlq("replay", "--json", "--force")

    assert outcomes(forced) == {place: "replayed"}


def test_the_end_of_a_topic_with_a_transactions_marker_is_reached(kafka_morgue: Morgue) -> None:
    morgue = kafka_morgue
    place = morgue.dead(key=b"doc")
    producer = Producer(
        {"bootstrap.servers": morgue.cluster.settings.bootstrap, "transactional.id": morgue.topics.prefix}
    )
    producer.init_transactions(30)
    for topic in (morgue.topics.dead_letters, morgue.topics.requests):
        producer.begin_transaction()
        producer.produce(topic, b"aborted", partition=0)
        producer.flush(10)
        producer.abort_transaction(30)

    _, out, _ = morgue.dlq("list", "--json")
    _, replayed, _ = morgue.dlq("replay", "--json")

    assert [line["place"] for line in lines(out)] == [place]
    assert outcomes(replayed) == {place: "replayed"}


def test_a_purge_deletes_up_to_the_first_that_is_not_meant_and_counts_what_stays(kafka_morgue: Morgue) -> None:
    morgue = kafka_morgue
    for code in (ErrorCode.NOT_JSON, ErrorCode.NOT_JSON, ErrorCode.NO_ID, ErrorCode.NOT_JSON):
        morgue.dead(code=code)
    morgue.dead(partition=1)

    _, dry, _ = morgue.dlq("purge", "--code", "not_json", "--dry-run")
    _, before, _ = morgue.dlq("list", "--json")
    status, out, _ = morgue.dlq("purge", "--code", "not_json", "--json")
    _, after, _ = morgue.dlq("list", "--json")

    assert "dead letters that would be purged: 3" in dry
    assert "meant as well, but they stay: 1." in dry
    assert len(lines(before)) == 5
    assert status == 0
    assert lines(out) == [{"purged": 3, "kept": 1, "others": 1, "before": {"0": 2, "1": 1}, "dry_run": False}]
    assert [(line["place"], line["code"]) for line in lines(after)] == [("0:2", "no_id"), ("0:3", "not_json")]


def test_a_purge_of_all_leaves_none_and_what_comes_later_is_counted_on(kafka_morgue: Morgue) -> None:
    morgue = kafka_morgue
    morgue.dead()
    morgue.dlq("purge", "--all")

    assert lines(morgue.dlq("list", "--json")[1]) == []
    assert morgue.dlq("show", "0:0")[0] == 1
    assert morgue.dead() == "0:1"
    assert [line["place"] for line in lines(morgue.dlq("list", "--json")[1])] == ["0:1"]


def test_what_the_broker_does_not_take_ends_with_status_1_and_is_sent_by_the_next_run(kafka_morgue: Morgue) -> None:
    morgue = kafka_morgue
    large, small = morgue.dead(b"x" * 50_000, key=b"large"), morgue.dead(b"x", key=b"small")

    status, out, errors = morgue.dlq("replay", "--json", "--kafka", "message.max.bytes=10000")

    assert outcomes(out) == {large: "not delivered", small: "replayed"}
    assert status == 1
    assert "1 of 2 were not delivered (MSG_SIZE_TOO_LARGE" in errors
    _, again, _ = morgue.dlq("replay", "--json")
    assert outcomes(again) == {large: "replayed", small: "already replayed"}
