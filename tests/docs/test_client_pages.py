"""The pages under `docs/clients/`: each program runs with its client and prints what its page shows."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import tempfile
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Final
from xml.etree import ElementTree

import pytest

from tests.clients.environments import SOURCES
from tests.lacking import skip_for_want_of
from tests.stack.command import Command, run_command

from .pages import CLIENT_PAGES, CLIENTS, DOCS, PAGES, Block, blocks, links
from .running import Workspace, addressed, not_printed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.clients.environments import Environment
    from tests.stack.stack import Stack

_OVER_KAFKA: Final = {"java", "spring", "kafkajs"}
_OF_THE_MODEL: Final = {"langchain-nvidia", "langchain-openai", "llama-index", "haystack"}
"""Pages that search: which text is nearest needs a model."""

_ENVIRONMENTS: Final = {
    "python": ("python_clients", "first_use.py"),
    "javascript": ("node_clients", "first_use.mjs"),
    "java": ("java_clients", "FirstUse.java"),
}
"""By language: the fixture that has the client, and the name of the file."""


def _pages(*, over_kafka: bool = False, of_the_model: bool = False) -> list[Path]:
    return [
        page
        for page in CLIENT_PAGES
        if (page.stem in _OVER_KAFKA, page.stem in _OF_THE_MODEL) == (over_kafka, of_the_model)
    ]


# --- the blocks ---------------------------------------------------------------------------------------------


def _kind(block: Block) -> str:
    """What is done with a block."""
    if block.language == "text":
        return "shown"
    if block.language == "xml" or re.match(r"(pip|npm) install ", block.text):
        return "install"
    if block.language == "sh" and block.text.startswith("export "):
        return "settings"
    return "program" if block.language in (*_ENVIRONMENTS, "sh") else "unknown"


@pytest.mark.parametrize("page", CLIENT_PAGES, ids=lambda page: page.stem)
def test_a_page_says_what_to_install_what_to_run_and_what_comes_out(page: Path) -> None:
    kinds = " ".join(_kind(block) for block in blocks(page))

    assert re.fullmatch(r"(install )?(settings )?program shown( program shown)*", kinds)
    assert ("install" in kinds) is (page.stem != "curl")


def test_every_page_is_read_here_or_with_all_the_others_and_the_index_has_those_of_here() -> None:
    under_docs = set(DOCS.rglob("*.md"))
    index = CLIENTS / "README.md"
    linked = {(CLIENTS / link).resolve() for link in links(index)}

    assert set(CLIENT_PAGES) | (set(PAGES) & under_docs) == under_docs
    assert (
        {page for page in linked if page.parent == CLIENTS} == set(CLIENT_PAGES) == set(CLIENTS.glob("*")) - {index}
    )
    assert {page.stem for page in CLIENT_PAGES} >= _OVER_KAFKA | _OF_THE_MODEL


@pytest.mark.parametrize(
    "block",
    [block for page in CLIENT_PAGES for block in blocks(page) if _kind(block) == "install"],
    ids=lambda block: block.name,
)
def test_what_a_page_installs_is_what_the_tests_install(block: Block) -> None:
    if block.language == "xml":
        pom = ElementTree.parse(SOURCES / "java" / "pom.xml")
        ours = {tuple(part.text for part in one) for one in pom.iterfind(".//{*}dependency")}
        assert tuple(part.text for part in ElementTree.fromstring(block.text)) in ours
        return
    installer, _, *packages = shlex.split(block.text)
    requirements = (SOURCES / "python" / "requirements.txt").read_text()
    installed = {
        "pip": set(re.findall(r"^([\w-]+)==", requirements, re.MULTILINE)),
        "npm": set(json.loads((SOURCES / "node" / "package.json").read_text())["dependencies"]),
    }
    assert packages
    assert set(packages) <= installed[installer]


# --- the programs -------------------------------------------------------------------------------------------


def _assert_it_prints_what_it_shows(
    page: Path,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    *,
    api_url: str = "",
    bootstrap: str = "",
    prefix: str = "embedding",
) -> None:
    workspace = Workspace(tmp_path, bootstrap, api_url)
    settings: dict[str, str] = {}
    printed = ""
    for block in blocks(page):
        kind = _kind(block)
        if kind == "settings":
            settings |= dict(word.split("=", 1) for word in shlex.split(block.text)[1:])
        elif kind == "program" and block.language == "sh":
            printed = workspace.run(block)
        elif kind == "program":
            fixture, name = _ENVIRONMENTS[block.language]
            text = addressed(block.text, bootstrap, api_url).replace('"embedding.', f'"{prefix}.')
            printed = _printed_by(request.getfixturevalue(fixture), name, text, settings)
        elif kind == "shown":
            assert not_printed(block.text, printed) == [], f"{block.name} is not what was printed:\n{printed}"


def _printed_by(clients: Environment, name: str, text: str, settings: dict[str, str]) -> str:
    # Beside what is installed: Node looks for packages from the program's own folder upwards.
    with tempfile.TemporaryDirectory(dir=clients.folder) as folder:
        program = Path(folder) / name
        program.write_text(text)
        return clients.printed_by(str(program), environment=settings)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("page", _pages(), ids=lambda page: page.stem)
def test_a_program_prints_what_its_page_shows(
    page: Path, null_stack: Stack, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    if page.stem == "curl" and shutil.which("curl") is None:
        skip_for_want_of("curl is not installed")

    _assert_it_prints_what_it_shows(page, request, tmp_path, api_url=null_stack.api_url)


@pytest.mark.model
@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("page", _pages(of_the_model=True), ids=lambda page: page.stem)
def test_a_program_that_searches_finds_the_text_its_page_shows(
    page: Path, model_stack: Stack, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    _assert_it_prints_what_it_shows(page, request, tmp_path, api_url=model_stack.api_url)


@pytest.fixture(scope="module")
def kafka_place(kafka_bootstrap: str) -> Iterator[tuple[str, str]]:
    """A worker that computes nothing on a real Kafka: its address, and the prefix of topics of its own."""
    prefix = f"pages-{uuid.uuid4().hex[:8]}"
    place = ("--bootstrap", kafka_bootstrap, "--prefix", prefix)
    status, created = run_command("topics", "create", *place)
    assert status == 0, created.quote()
    with Command("worker", "--encoder", "null", *place) as worker:
        worker.wait_for('"ready"')
        yield kafka_bootstrap, prefix


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("page", _pages(over_kafka=True), ids=lambda page: page.stem)
def test_a_program_over_kafka_prints_what_its_page_shows(
    page: Path, kafka_place: tuple[str, str], request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    bootstrap, prefix = kafka_place

    _assert_it_prints_what_it_shows(page, request, tmp_path, bootstrap=bootstrap, prefix=prefix)
