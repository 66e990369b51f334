"""Where other people's clients are installed: one folder a language under `.clients/`, made when it is asked for."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from tests.kafka_broker.distribution import MINIMUM_JAVA, java, java_major

if TYPE_CHECKING:
    from collections.abc import Mapping

SOURCES = Path(__file__).parent
INSTALLED = SOURCES.parents[1] / ".clients"

_INSTALL_SECONDS = 600
_RUN_SECONDS = 90
_MINIMUM_NODE = 20


class InstallError(Exception):
    """A package manager could not install the clients; they count as not installed."""


class ClientError(Exception):
    """A client's program ended with an error, or was not done in time."""


class Environment(ABC):
    """The clients of one language: a copy of their programs, beside everything they need.

    Args:
        sources: Folder with a folder of programs for each language.
        installed: Folder in which the languages are installed.
    """

    language: ClassVar[str]
    installed_again_on: ClassVar[str]
    """Pattern of the files whose change makes the installation out of date."""

    def __init__(self, sources: Path = SOURCES, installed: Path = INSTALLED) -> None:
        self.folder = installed / self.language
        self._sources = sources / self.language

    @staticmethod
    @abstractmethod
    def why_missing() -> str | None:
        """What this machine lacks for it, in one line; None when nothing."""

    @abstractmethod
    def _install(self) -> None: ...

    @abstractmethod
    def _command(self, program: str) -> list[str]: ...

    def install(self) -> None:
        """Install once, and again when a version changes. Safe in several processes.

        Raises:
            InstallError: With the end of the package manager's output.
        """
        self.folder.parent.mkdir(exist_ok=True)
        with self.folder.with_name(f"{self.language}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            stamp, wanted = self.folder / "installed", self._fingerprint()
            current = stamp.is_file() and stamp.read_text() == wanted
            if not current:
                shutil.rmtree(self.folder, ignore_errors=True)
            shutil.copytree(self._sources, self.folder, dirs_exist_ok=True)
            if not current:
                self._install()
                stamp.write_text(wanted)

    def run(self, program: str, *arguments: str, environment: Mapping[str, str] | None = None) -> Any:
        """Run a client's program to its end; the JSON it printed.

        Raises:
            ClientError: With what it said.
        """
        return json.loads(self.printed_by(program, *arguments, environment=environment))

    def printed_by(self, program: str, *arguments: str, environment: Mapping[str, str] | None = None) -> str:
        """Run a client's program to its end; what it printed.

        Raises:
            ClientError: With what it said.
        """
        # Nothing of the caller's environment: a key or a proxy set there would change what a client sends.
        own = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "LC_ALL": "C.UTF-8"}
        try:
            done = subprocess.run(
                [*self._command(program), *arguments],
                cwd=self.folder,
                env=own | (dict(environment) if environment else {}),
                capture_output=True,
                text=True,
                check=False,
                timeout=_RUN_SECONDS,
            )
        except subprocess.TimeoutExpired as error:
            said = (error.stderr or b"").decode(errors="replace")
            raise ClientError(f"{program} was not done in {_RUN_SECONDS} s:\n{said}") from error
        if done.returncode != 0:
            raise ClientError(f"{program} ended with {done.returncode}:\n{done.stderr}")
        return done.stdout

    def _fingerprint(self) -> str:
        digest = hashlib.sha256(sys.version.encode())
        for path in sorted(self._sources.rglob(self.installed_again_on)):
            if path.is_file():
                digest.update(path.read_bytes())
        return digest.hexdigest()

    def _run_installer(self, *command: str) -> None:
        try:
            done = subprocess.run(
                command,
                cwd=self.folder,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
                timeout=_INSTALL_SECONDS,
            )
        except subprocess.TimeoutExpired as error:
            raise InstallError(f"{command[0]} took over {_INSTALL_SECONDS} s") from error
        if done.returncode != 0:
            raise InstallError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout[-3000:]}")


class PythonClients(Environment):
    """Clients in Python: their dependencies are many, and not ours."""

    language = "python"
    installed_again_on = "requirements.txt"

    @staticmethod
    def why_missing() -> str | None:
        return None

    def _install(self) -> None:
        self._run_installer(sys.executable, "-m", "venv", "venv")
        # Each program imports a fraction of what is installed: compiling everything costs more than it saves.
        install = ("-m", "pip", "install", "--disable-pip-version-check", "--no-compile", "-r", "requirements.txt")
        self._run_installer(str(self._python), *install)

    def _command(self, program: str) -> list[str]:
        return [str(self._python), "-W", "ignore", program]

    @property
    def _python(self) -> Path:
        return self.folder / "venv" / "bin" / "python"


def tiktoken_cache(clients: PythonClients) -> Path:
    """OpenAI's vocabulary, which its clients would fetch from a server of OpenAI's: one of the others carries it."""
    return next(clients.folder.glob("venv/lib/python*/site-packages/llama_index/core/_static/tiktoken_cache"))


class NodeClients(Environment):
    """Clients in JavaScript."""

    language = "node"
    installed_again_on = "package.json"

    @staticmethod
    def why_missing() -> str | None:
        node = shutil.which("node")
        if node is None or shutil.which("npm") is None:
            return f"no node and npm commands found: install Node {_MINIMUM_NODE} or newer"
        answer = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
        found = re.match(r"v(\d+)", answer)
        if found is None or int(found.group(1)) < _MINIMUM_NODE:
            return f"{node} is Node {answer.strip() or 'of unknown version'}: {_MINIMUM_NODE} or newer is needed"
        return None

    def _install(self) -> None:
        # No lock file: it would record where this machine's packages came from.
        self._run_installer("npm", "install", "--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts")

    def _command(self, program: str) -> list[str]:
        return ["node", program]


class JavaClients(Environment):
    """Clients in Java."""

    language = "java"
    installed_again_on = "*.*"  # sources too: they are compiled

    @staticmethod
    def why_missing() -> str | None:
        command = java()
        if command is None or not Path(command).resolve().with_name("javac").is_file():
            return f"no java and javac commands found: install a JDK, {MINIMUM_JAVA} or newer"
        major = java_major(command)
        if major is None or major < MINIMUM_JAVA:
            return f"{command} is Java {major or 'of unknown version'}: {MINIMUM_JAVA} or newer is needed"
        if shutil.which("mvn") is None:
            return "no mvn command found: install Maven, which builds the Java clients"
        return None

    def _install(self) -> None:
        self._run_installer("mvn", "-q", "-B", "compile", "dependency:copy-dependencies")

    def _command(self, program: str) -> list[str]:
        command = java()
        assert command is not None
        return [command, "-cp", "target/classes:target/dependency/*", program]
