"""AsyncAPI's own parser, from npm, reads the document."""

from __future__ import annotations

import copy
import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.clients.environments import NodeClients
from tests.lacking import skip_for_want_of

from .test_asyncapi import CHANNELS, DOCUMENT, OPERATIONS, messages_of

if TYPE_CHECKING:
    from pathlib import Path


class _AsyncApi(NodeClients):
    """AsyncAPI's own parser, from npm."""

    language = "asyncapi"


@pytest.fixture(scope="module")
def parser(request: pytest.FixtureRequest) -> _AsyncApi:
    """The parser; skips where there is no Node."""
    reason = _AsyncApi.why_missing()
    if reason is not None:
        skip_for_want_of(reason)
    parser = _AsyncApi(sources=request.path.parent)
    parser.install()
    return parser


def _read(parser: _AsyncApi, document: dict[str, Any], folder: Path) -> dict[str, Any]:
    file = folder / "asyncapi.json"
    file.write_text(json.dumps(document))
    read: dict[str, Any] = parser.run("read.js", str(file))
    return read


@pytest.mark.slow
@pytest.mark.timeout(700)
def test_asyncapis_own_parser_accepts_the_document_and_reads_our_channels_and_operations(
    parser: _AsyncApi, tmp_path: Path
) -> None:
    read = _read(parser, DOCUMENT, tmp_path)

    assert read["faults"] == []
    assert read["channels"] == {name: channel["address"] for name, channel in CHANNELS.items()}
    for operation in read["operations"]:
        ours = OPERATIONS[operation["id"]]
        assert operation["action"] == ours["action"]
        assert ours["channel"]["$ref"] == f"#/channels/{operation['channel']}"
        assert set(operation["messages"]) == messages_of(ours)
        assert operation["replyAddress"] == ours.get("reply", {}).get("address", {}).get("location")
    assert len(read["operations"]) == len(OPERATIONS)


@pytest.mark.slow
@pytest.mark.timeout(700)
def test_asyncapis_own_parser_refuses_what_is_wrong(parser: _AsyncApi, tmp_path: Path) -> None:
    broken = copy.deepcopy(DOCUMENT)
    broken["operations"]["worker.send.workers"]["action"] = "publish"

    (fault,) = _read(parser, broken, tmp_path)["faults"]

    assert fault.startswith("operations.worker.send.workers.action: ")


@pytest.mark.slow
@pytest.mark.timeout(700)
def test_asyncapis_own_parser_refuses_a_payload_that_is_no_schema(parser: _AsyncApi, tmp_path: Path) -> None:
    broken = copy.deepcopy(DOCUMENT)
    broken["components"]["schemas"]["Beat"]["properties"]["dim"]["type"] = "whole"

    assert any("Beat" in fault for fault in _read(parser, broken, tmp_path)["faults"])


def test_packages_of_npm_have_exact_versions(request: pytest.FixtureRequest) -> None:
    packages = json.loads((request.path.parent / "asyncapi" / "package.json").read_text())["dependencies"]

    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in packages.values())
