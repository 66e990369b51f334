"""Installing other people's clients: once, in exact versions, and with a reason where it cannot be done."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import pytest

from tests.kafka_broker.distribution import KAFKA_VERSION

from .environments import SOURCES, ClientError, Environment, InstallError, JavaClients, NodeClients

if TYPE_CHECKING:
    from pathlib import Path


class _ShellClients(Environment):
    """Stands in for a language: its installation is a line in a file."""

    language = "shell"
    installed_again_on = "versions"

    @staticmethod
    def why_missing() -> str | None:
        return None

    def _install(self) -> None:
        self._run_installer("sh", "-c", "cat versions >> ../installations")

    def _command(self, program: str) -> list[str]:
        return ["sh", program]


@pytest.fixture
def clients(tmp_path: Path) -> _ShellClients:
    """One program, and one version of what it needs."""
    sources = tmp_path / "sources" / "shell"
    sources.mkdir(parents=True)
    (sources / "versions").write_text("1\n")
    (sources / "program.sh").write_text("echo '[1]'")
    return _ShellClients(tmp_path / "sources", tmp_path / "installed")


def _installations(clients: Environment) -> list[str]:
    return clients.folder.with_name("installations").read_text().split()


def test_clients_are_installed_once_and_again_when_a_version_changes(clients: _ShellClients, tmp_path: Path) -> None:
    clients.install()
    clients.install()
    assert _installations(clients) == ["1"]

    (tmp_path / "sources" / "shell" / "versions").write_text("2\n")
    clients.install()
    assert _installations(clients) == ["1", "2"]


def test_a_changed_program_is_run_without_a_new_installation(clients: _ShellClients, tmp_path: Path) -> None:
    clients.install()
    assert clients.run("program.sh") == [1]

    (tmp_path / "sources" / "shell" / "program.sh").write_text("echo '[2]'")
    clients.install()

    assert clients.run("program.sh") == [2]
    assert _installations(clients) == ["1"]


def test_a_failed_installation_says_why_and_is_tried_again(
    clients: _ShellClients, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(
            clients, "_install", lambda: clients._run_installer("sh", "-c", "echo no such version; exit 3")
        )
        with pytest.raises(InstallError, match="ended with 3:\nno such version"):
            clients.install()

    clients.install()

    assert clients.run("program.sh") == [1]


def test_a_program_that_fails_is_quoted_and_sees_nothing_of_our_environment(
    clients: _ShellClients, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "ours")
    (tmp_path / "sources" / "shell" / "program.sh").write_text('echo "key: $OPENAI_API_KEY." >&2; exit 4')
    clients.install()

    with pytest.raises(ClientError, match=r"program\.sh ended with 4:\nkey: \.\n"):
        clients.run("program.sh")


# --- what is missing ----------------------------------------------------------------------------------------


def _write_command(path: Path, script: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_a_missing_node_is_the_reason_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    assert NodeClients.why_missing() == "no node and npm commands found: install Node 20 or newer"


def test_an_old_node_is_the_reason_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _write_command(tmp_path / "node", "echo v18.19.0")
    _write_command(tmp_path / "npm", "exit 1")
    monkeypatch.setenv("PATH", str(tmp_path))

    assert NodeClients.why_missing() == f"{tmp_path}/node is Node v18.19.0: 20 or newer is needed"


def test_a_java_without_a_compiler_is_the_reason_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _write_command(tmp_path / "bin" / "java", "exit 1")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))

    assert JavaClients.why_missing() == "no java and javac commands found: install a JDK, 17 or newer"


# --- versions -----------------------------------------------------------------------------------------------


def test_every_client_and_all_it_needs_has_an_exact_version() -> None:
    requirements = (SOURCES / "python" / "requirements.txt").read_text().splitlines()
    packages = json.loads((SOURCES / "node" / "package.json").read_text())["dependencies"]
    versions = [
        found.text or "" for found in ElementTree.parse(SOURCES / "java" / "pom.xml").iterfind(".//{*}version")
    ]

    assert all(re.fullmatch(r"(#.*|[\w.-]+==[\w.]+|)", line) for line in requirements)
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in packages.values())
    assert all(re.fullmatch(r"\d+(\.\d+)*", version) for version in versions)


def test_javas_own_client_is_of_the_brokers_version() -> None:
    pom = ElementTree.parse(SOURCES / "java" / "pom.xml")
    versions = {
        found.findtext("{*}artifactId"): found.findtext("{*}version") for found in pom.iterfind(".//{*}dependency")
    }

    assert versions["kafka-clients"] == KAFKA_VERSION
