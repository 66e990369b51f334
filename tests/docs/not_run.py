"""The one table of code blocks that are not run, each with the reason and what is checked in place of it."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tomllib
from typing import TYPE_CHECKING, Final, NamedTuple

import yaml

from schemas.topics import Lane, TopicNames

from .pages import DOCS, ROOT, blocks
from .rights import given_by

if TYPE_CHECKING:
    from collections.abc import Callable


def _flags_exist(text: str) -> None:
    """The command with `--help` behind its words succeeds only where each flag before it exists."""
    words = shlex.split(text)
    done = subprocess.run(
        [sys.executable, "-m", "cli.main", *words[1:], "--help"],
        cwd=ROOT,
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert words[0] == "kafka-embeddings"
    assert done.returncode == 0, done.stderr


def _verb_exists(text: str) -> None:
    done = subprocess.run([*text.split(), "--dry-run"], cwd=ROOT, capture_output=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr


def _compose_serves_what_the_readme_says(_: str) -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    assert services["kafka"]["image"] == "apache/kafka:4.3.1"
    assert services["kafka"]["ports"] == ["127.0.0.1:9094:9094"]
    assert services["api"]["ports"] == ["127.0.0.1:8000:8000"]


def _group_is_ours(text: str) -> None:
    assert shlex.split(text)[-1] == TopicNames().group(Lane.BULK)


def _gives_rights(text: str) -> None:
    """Which ones is held to the page's table by a test of the page."""
    assert len(list(given_by(text))) >= len(text.splitlines())


def _layers_are_those_that_are_checked(text: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    (contract,) = (one for one in project["tool"]["importlinter"]["contracts"] if one["type"] == "layers")
    assert re.split(r"\s+>\s+", text) == contract["layers"]


def _is_read_by(test: str) -> Callable[[str], None]:
    """Held by a test that has more at hand, the model for instance: it reads the block by its beginning."""

    def check(text: str) -> None:
        assert f'startswith("{" ".join(text.split()[:2])}")' in (ROOT / test).read_text()

    return check


class NotRun(NamedTuple):
    """Why a block is not run, and what is checked in its place."""

    reason: str
    check: Callable[[str], None]


ON_KAFKA: Final = "the embedded broker makes its topics itself; run on a real Kafka by a test of its own"
UNTIL_STOPPED: Final = "runs until it is stopped; run on a real Kafka by a test of its own"

NOT_RUN: Final[dict[str, NotRun]] = {
    "make run": NotRun("installs, then serves until Ctrl-C", _verb_exists),
    "make test": NotRun("would run these tests again", _verb_exists),
    "make chaos SEED=20261127": NotRun("takes minutes; its short run is among the tests", _verb_exists),
    "docker compose up": NotRun("needs Docker", _compose_serves_what_the_readme_says),
    "kafka-embeddings topics create --bootstrap 127.0.0.1:9092": NotRun(ON_KAFKA, _flags_exist),
    "kafka-embeddings topics create --bootstrap 127.0.0.1:9092 --slug bge-m3": NotRun(ON_KAFKA, _flags_exist),
    "kafka-embeddings topics create --bootstrap 127.0.0.1:9092 --models models.toml": NotRun(
        "needs the page's catalogue; catalogues are run by the tests of conformance", _flags_exist
    ),
    "kafka-embeddings worker --bootstrap 127.0.0.1:9092 --models models.toml --name baai/bge-m3": NotRun(
        "needs that model", _flags_exist
    ),
    "kafka-embeddings up --models models.toml": NotRun("needs those models", _flags_exist),
    "kafka-embeddings topics create --bootstrap 127.0.0.1:9092 --replication 3": NotRun(
        "needs three brokers", _flags_exist
    ),
    "kafka-embeddings dlq show 3:17 --bootstrap 127.0.0.1:9092 --payload": NotRun(
        "needs a dead letter at that place; run by the tests of the command", _flags_exist
    ),
    "kafka-embeddings dlq purge --bootstrap 127.0.0.1:9092 --until 7d": NotRun(
        "the embedded broker deletes nothing; run on a real Kafka by the tests of the command", _flags_exist
    ),
    "kafka-embeddings worker --bootstrap 127.0.0.1:9092": NotRun(UNTIL_STOPPED, _flags_exist),
    "kafka-embeddings worker --bootstrap 127.0.0.1:9092 --delivery exactly-once": NotRun(
        "runs until it is stopped; run on a real Kafka by the tests of exactly-once", _flags_exist
    ),
    "kafka-embeddings worker --bootstrap 127.0.0.1:9092 --slug bge-m3 --model ./models/bge-m3": NotRun(
        "needs that model", _flags_exist
    ),
    "kafka-embeddings worker --bootstrap 127.0.0.1:9092 --devices cuda:0,cuda:1": NotRun(
        "needs two GPUs; run with two CPUs by the tests of the command", _flags_exist
    ),
    "kafka-embeddings api --bootstrap 127.0.0.1:9092 --port 8000": NotRun(UNTIL_STOPPED, _flags_exist),
    "kafka-embeddings api --bootstrap 127.0.0.1:9092 --auth keys.json": NotRun(
        "runs until it is stopped; run with keys by the tests of the API", _flags_exist
    ),
    "kafka-consumer-groups.sh --bootstrap-server 127.0.0.1:9092 --describe --group embedding.bulk": NotRun(
        "a tool of Kafka's own distribution", _group_is_ours
    ),
    **{
        block.text: NotRun("a tool of Kafka's own distribution", _gives_rights)
        for block in blocks(DOCS / "security.md")
        if block.text.startswith("kafka-acls.sh")
    },
}
"""Commands, by their text."""

SHOWN_ELSEWHERE: Final[dict[str, Callable[[str], None]]] = {
    "ready after": _is_read_by("tests/cli/up/test_sample.py"),
    "cli  >  api": _layers_are_those_that_are_checked,
}
"""Blocks of plain text that no block before them prints, by their beginning."""
