"""`kafka-embeddings dlq` as a user with the rights of the page, and as one who lacks one and is told which."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from tests.cli.dlq.morgue import Ground
from tests.docs.rights import in_words, rights

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.dlq.morgue import Morgue
    from tests.stack.fixtures import RunHere

    from .conftest import Guarded

_NEEDED: Final = [
    (("list",), "Read topic embedding.requests.dlq"),
    (("show", "0:0"), "Read topic embedding.requests.dlq"),
    (("replay", "--dry-run"), "Read topic embedding.requests"),
    (("replay", "--dry-run"), "Read topic embedding.requests.interactive"),
    (("replay",), "Write topic embedding.requests"),
    (("replay",), "Write topic embedding.requests.interactive"),
    (("purge", "--all"), "Delete topic embedding.requests.dlq"),
]
"""Command and what it cannot do without."""


@pytest.fixture(scope="module")
def here(guarded: Callable[..., Guarded]) -> Guarded:
    """Topics that are there, and users who may do all that the page lists."""
    return guarded("plain", with_topics=True)


@pytest.fixture
def morgue(here: Guarded, run_here: RunHere) -> Morgue:
    """Their dead letters, of both lanes, one of them at 0:0."""
    return _morgue(here, run_here)


def _morgue(here: Guarded, run_here: RunHere) -> Morgue:
    made = Ground.at(here.broker.bootstrap).morgue(here.place.topics, run_here)
    made.dead()
    made.bury(made.request(b"not json", topic=made.topics.requests_interactive))
    return made


def _changed(morgue: Morgue) -> list[object]:
    topics = morgue.topics
    return [morgue.on(topic) for topic in (topics.dead_letters, topics.requests, topics.requests_interactive)]


def test_with_every_right_of_the_page_all_commands_work(guarded: Callable[..., Guarded], run_here: RunHere) -> None:
    here = guarded("certificate", with_topics=True)
    morgue = _morgue(here, run_here)
    for command in (["list"], ["show", "0:0"], ["replay"], ["purge", "--all"]):
        status, _, errors = run_here("dlq", *command, *here.flags, *here.by_flags("dlq"))
        assert (status, errors) == (0, "")

    assert len(morgue.on(morgue.topics.requests)) == 2
    assert len(morgue.on(morgue.topics.requests_interactive)) == 2
    assert morgue.on(morgue.topics.dead_letters) == []


@pytest.mark.parametrize(("command", "listed"), _NEEDED)
def test_without_a_right_the_command_ends_with_1_names_it_and_changes_nothing(
    command: tuple[str, ...], listed: str, here: Guarded, morgue: Morgue, run_here: RunHere
) -> None:
    row = [in_words(right) for right in rights("dlq")].index(listed)
    right = rights("dlq", here.prefix)[row]
    everything = _changed(morgue)

    with here.broker.without(right):
        status, out, errors = run_here("dlq", *command, *here.flags, *here.by_flags("dlq"))

    assert (status, out) == (1, ""), errors
    assert f"do not let dlq {in_words(right)}: allow it" in errors.splitlines()[-1]
    assert _changed(morgue) == everything


def test_what_only_looks_needs_no_right_to_change(here: Guarded, morgue: Morgue, run_here: RunHere) -> None:
    changing = [right for right in rights("dlq", here.prefix) if right.operation.name in ("WRITE", "DELETE")]
    with here.broker.without(*changing):
        for command in (["list"], ["show", "0:0"], ["replay", "--dry-run"], ["purge", "--all", "--dry-run"]):
            status, _, errors = run_here("dlq", *command, *here.flags, *here.by_flags("dlq"))
            assert (status, errors) == (0, "")


def test_no_right_to_write_is_needed_where_nothing_is_sent(
    guarded: Callable[..., Guarded], run_here: RunHere
) -> None:
    here = guarded("plain", with_topics=True)
    morgue = _morgue(here, run_here)
    replay = ["replay", *here.flags, *here.by_flags("dlq")]
    assert run_here("dlq", *replay)[0] == 0
    morgue.dead(b"another")

    (right,) = [
        right
        for right in rights("dlq", here.prefix)
        if in_words(right) == f"Write topic {morgue.topics.requests_interactive}"
    ]
    with here.broker.without(right):
        status, _, errors = run_here("dlq", *replay)

    assert (status, errors) == (0, "")
    assert [message.value for message in morgue.on(morgue.topics.requests)][-1] == b"another"
    assert len(morgue.on(morgue.topics.requests_interactive)) == 2


def test_every_row_is_needed_by_some_command() -> None:
    assert {listed for _, listed in _NEEDED} == {in_words(right) for right in rights("dlq")}
