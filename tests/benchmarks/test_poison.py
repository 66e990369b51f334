"""`benchmarks/poison.py`: what the benchmark holds a stream against is itself held against faults."""

from __future__ import annotations

from collections import Counter

import pytest

from benchmarks.poison import check, make_stream


def test_a_clean_stream_has_no_poison_and_the_other_one_in_a_hundred() -> None:
    clean, poisoned = (make_stream("run", 1000, poisoned=poisoned) for poisoned in (False, True))

    assert (len(clean.messages), set(clean.answered.values()), clean.dead) == (1000, {"ok"}, Counter())
    assert (len(poisoned.messages), poisoned.dead.total(), len(poisoned.answered)) == (1000, 10, 996)
    assert Counter(poisoned.answered.values()) == {"ok": 990, "model_not_found": 2, "invalid_request": 4}


@pytest.mark.parametrize("fault", ["one answer missing", "one answer wrong", "a stranger answered"])
def test_answers_other_than_they_must_be_fail(fault: str) -> None:
    stream = make_stream("run", 1000, poisoned=True)
    answered = dict(stream.answered)
    check(stream, answered, stream.dead)
    match fault:
        case "one answer missing":
            del answered["run/7"]
        case "one answer wrong":
            answered["run/250"] = "ok"
        case _:
            answered["stranger"] = "ok"

    with pytest.raises(SystemExit, match="missing or wrong"):
        check(stream, answered, stream.dead)


@pytest.mark.parametrize("fault", ["one missing", "one twice", "one changed"])
def test_dead_letters_other_than_they_must_be_fail(fault: str) -> None:
    stream = make_stream("run", 1000, poisoned=True)
    dead = Counter(stream.dead)
    first = next(iter(dead))
    if fault != "one missing":
        dead[first if fault == "one twice" else first + b" "] += 1
    if fault != "one twice":
        dead -= Counter({first: 1})

    with pytest.raises(SystemExit, match="dead letters are missing"):
        check(stream, dict(stream.answered), dead)
