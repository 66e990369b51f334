"""Every code block of the pages: commands and programs are run, JSON is read, shown output compared."""

from __future__ import annotations

import json
import shlex
import shutil
import uuid
from typing import TYPE_CHECKING, Final

import pytest

from tests.lacking import skip_for_want_of
from tests.stack.command import Command, run_command
from tests.stack.stack import Api, Stack

from .not_run import NOT_RUN, ON_KAFKA, SHOWN_ELSEWHERE, UNTIL_STOPPED
from .pages import PAGES, ROOT, Block, all_blocks, blocks
from .running import Workspace, not_printed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_RUN: Final = ("sh", "python")


def _is_run(block: Block) -> bool:
    return block.language in _RUN and block.text not in NOT_RUN


def _check_elsewhere(block: Block) -> Callable[[str], None] | None:
    return next((check for start, check in SHOWN_ELSEWHERE.items() if block.text.startswith(start)), None)


@pytest.mark.parametrize(
    "block", [block for block in all_blocks(*_RUN) if not _is_run(block)], ids=lambda block: block.name
)
def test_a_command_that_is_not_run_is_right_as_far_as_can_be_seen(block: Block) -> None:
    NOT_RUN[block.text].check(block.text)


@pytest.mark.parametrize("start", SHOWN_ELSEWHERE)
def test_a_text_that_no_block_prints_says_what_the_code_says(start: str) -> None:
    (block,) = (block for block in all_blocks("text") if block.text.startswith(start))

    SHOWN_ELSEWHERE[start](block.text)


def test_the_table_of_what_is_not_run_holds_nothing_that_is_on_no_page() -> None:
    assert set(NOT_RUN) <= {block.text for block in all_blocks(*_RUN)}


# --- blocks that are run -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """A service that nobody else has used, so that the first message is the page's own."""
    with Stack() as running:
        yield running.start("--encoder", "null", "--metrics-port", "0")


@pytest.mark.slow
@pytest.mark.parametrize(
    "page", [page for page in PAGES if any(map(_is_run, blocks(page)))], ids=lambda page: str(page.relative_to(ROOT))
)
def test_the_commands_and_programs_of_a_page_run_and_print_what_it_shows(
    page: Path, stack: Stack, tmp_path: Path
) -> None:
    probes = stack.worker.wait_for(r'"url": "http://([\d.:]+)", "event": "probes and metrics"').group(1)
    workspace = Workspace(tmp_path, stack.bootstrap, stack.api_url, probes)
    if page.parent.name == "examples":
        shutil.copytree(page.parent, tmp_path, dirs_exist_ok=True)
    printed: str | None = None
    left_out = []
    for block in blocks(page):
        if _is_run(block) and "kcat" in block.text and shutil.which("kcat") is None:
            left_out.append(block.name)
            printed = None
        elif _is_run(block):
            printed = workspace.run(block)
        elif block.language == "text" and _check_elsewhere(block) is None and printed is not None:
            assert not_printed(block.text, printed) == [], f"{block.name} is not what was printed:\n{printed}"
    if left_out:
        skip_for_want_of(f"kcat is not installed, so these were not run: {', '.join(left_out)}")


def test_a_shown_line_that_is_not_printed_is_noticed() -> None:
    printed = "2 vectors of 384 numbers\nready\n[0.5,0.25]\n"

    assert not_printed("3 vectors of 1024 numbers\n…\n[0.1…]", printed) == []
    assert not_printed("2 vectors of numbers", printed) == ["2 vectors of numbers"]
    assert not_printed("ready\n2 vectors of 384 numbers", printed) == ["2 vectors of 384 numbers"]


@pytest.fixture
def own_topics(kafka_bootstrap: str) -> dict[str, str]:
    """Environment that leads every command to topics of this test's own, and to a worker without a model."""
    return {
        "KAFKA_EMBEDDINGS_TOPIC_PREFIX": f"docs-{uuid.uuid4().hex[:8]}",
        "KAFKA_EMBEDDINGS_MODEL__ENCODER": "null",
    }


def test_the_commands_for_your_own_kafka_create_topics_and_serve(
    kafka_bootstrap: str, own_topics: dict[str, str]
) -> None:
    def words(start: str, reason: str) -> Iterator[list[str]]:
        for text, row in NOT_RUN.items():
            if text.startswith(start) and row.reason == reason:
                yield shlex.split(text.replace("127.0.0.1:9092", kafka_bootstrap).replace("--port 8000", "--port 0"))[
                    1:
                ]

    for create in words("kafka-embeddings topics", ON_KAFKA):
        status, said = run_command(*create, environment=own_topics)
        assert status == 0, said.quote()
    (work,) = words("kafka-embeddings worker", UNTIL_STOPPED)
    (serve,) = words("kafka-embeddings api", UNTIL_STOPPED)
    with Command(*work, environment=own_topics) as worker, Api(*serve, environment=own_topics) as api:
        worker.wait_for('"ready"')
        api.wait_until_ready()
        assert api.readiness() == 200


# --- blocks that are read ----------------------------------------------------------------------------------------


def test_every_block_is_in_a_language_that_is_checked() -> None:
    known = {*_RUN, "text", "json", "toml"}

    assert [block.name for page in PAGES for block in blocks(page) if block.language not in known] == []


def test_a_text_follows_what_prints_it_or_is_in_the_table() -> None:
    loose = []
    for page in PAGES:
        printed = False
        for block in blocks(page):
            printed = printed or _is_run(block)
            if block.language == "text" and not printed and _check_elsewhere(block) is None:
                loose.append(block.name)
    assert loose == []


@pytest.mark.parametrize("block", all_blocks("json"), ids=lambda block: block.name)
def test_json_is_an_object(block: Block) -> None:
    assert isinstance(json.loads(block.text), dict)
