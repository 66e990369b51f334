"""`kafka-embeddings dlq` as a user with the rights of the page, and as one who lacks one and is told which."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from tests.cli.dlq.morgue import Ground
from tests.docs.rights import rights

from .words import in_words

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.dlq.morgue import Morgue
    from tests.stack.fixtures import RunHere

    from .conftest import Guarded

_NEEDED: Final = [
    (("list",), "Read topic embedding.requests.dlq"),
    (("show", "0:0"), "Read topic embedding.requests.dlq"),
    (("replay", "--dry-run"), "Read topic embedding.requests"),
    (("replay",), "Write topic embedding.requests"),
    (("purge", "--all"), "Delete topic embedding.requests.dlq"),
]
"""Command and what it cannot do without."""


@pytest.fixture(scope="module")
def here(guarded: Callable[..., Guarded]) -> Guarded:
    """Topics that are there, and users who may do all that the page lists."""
    return guarded("plain", with_topics=True)


@pytest.fixture
def morgue(here: Guarded, run_here: RunHere) -> Morgue:
    """Their dead letters, one of them at 0:0."""
    return _morgue(here, run_here)


def _morgue(here: Guarded, run_here: RunHere) -> Morgue:
    made = Ground.at(here.broker.bootstrap).morgue(here.place.topics, run_here)
    made.dead()
    return made


def test_with_every_right_of_the_page_all_commands_work(guarded: Callable[..., Guarded], run_here: RunHere) -> None:
    here = guarded("certificate", with_topics=True)
    morgue = _morgue(here, run_here)
    for command in (["list"], ["show", "0:0"], ["replay"], ["purge", "--all"]):
        status, _, errors = run_here("dlq", *command, *here.flags, *here.by_flags("dlq"))
        assert (status, errors) == (0, "")

    assert len(morgue.on(morgue.topics.requests)) == 2
    assert morgue.on(morgue.topics.dead_letters) == []


@pytest.mark.parametrize(("command", "listed"), _NEEDED)
def test_without_a_right_the_command_ends_with_1_names_it_and_changes_nothing(
    command: tuple[str, ...], listed: str, here: Guarded, morgue: Morgue, run_here: RunHere
) -> None:
    row = [in_words(right) for right in rights("dlq")].index(listed)
    right = rights("dlq", here.prefix)[row]
    everything = [morgue.on(topic) for topic in (morgue.topics.dead_letters, morgue.topics.requests)]

    with here.broker.without(right):
        status, out, errors = run_here("dlq", *command, *here.flags, *here.by_flags("dlq"))

    assert (status, out) == (1, ""), errors
    assert f"do not let dlq {in_words(right)}: allow it" in errors.splitlines()[-1]
    assert [morgue.on(topic) for topic in (morgue.topics.dead_letters, morgue.topics.requests)] == everything


def test_what_only_looks_needs_no_right_to_change(here: Guarded, morgue: Morgue, run_here: RunHere) -> None:
    changing = [right for right in rights("dlq", here.prefix) if right.operation.name in ("WRITE", "DELETE")]
    with here.broker.without(*changing):
        for command in (["list"], ["show", "0:0"], ["replay", "--dry-run"], ["purge", "--all", "--dry-run"]):
            status, _, errors = run_here("dlq", *command, *here.flags, *here.by_flags("dlq"))
            assert (status, errors) == (0, "")


def test_every_row_is_needed_by_some_command() -> None:
    assert {listed for _, listed in _NEEDED} == {in_words(right) for right in rights("dlq")}
