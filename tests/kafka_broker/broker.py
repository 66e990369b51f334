"""The life of one broker process: start, wait until it answers, kill, restart on the same data, stop."""

from __future__ import annotations

import base64
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from .distribution import class_path, java
from .properties import Listener, server_properties

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

_LOG4J: Final = Path(__file__).with_name("log4j2.properties")
_START_SECONDS: Final = 60.0
_STOP_SECONDS: Final = 10.0
_LOOK_EVERY_SECONDS: Final = 0.05
_LOG_TAIL_LINES: Final = 30

_GUARD: Final = 'read -r _; kill -s KILL -- "-$1"; [ -z "$2" ] || rm -rf -- "$2"'
"""Ends the broker and its temporary data once this interpreter is gone, SIGKILL included: its pipe closes."""


class BrokerError(Exception):
    """The broker did not come up; the message quotes the end of its log, and no process is left."""


class Startable(ABC):
    """Runs while its context does."""

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @abstractmethod
    def start(self) -> None:
        """Start, and block until it answers."""

    @abstractmethod
    def stop(self) -> None:
        """End it, whether it was started or not."""


class KafkaBroker(Startable):
    """One Apache Kafka on 127.0.0.1, a context manager.

    Args:
        port: Port clients connect to; 0 takes a free one, kept for the broker's whole life.
        data: Folder of its data, kept at the end; None makes a temporary one, removed at the end.
        listeners: Further ways in.
        properties: Settings that win over the usual ones.
        format_arguments: Further ones for Kafka's tool that formats the data folder.
        controller_port: Port of its controller; 0 takes a free one at each start.
        cluster_id: 22 characters of base64; empty makes one.
        heap_mib: Java's largest heap.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        data: Path | None = None,
        listeners: Sequence[Listener] = (),
        properties: Mapping[str, object] | None = None,
        format_arguments: Sequence[str] = (),
        controller_port: int = 0,
        cluster_id: str = "",
        heap_mib: int = 512,
    ) -> None:
        self.port = port or free_port()
        self._listeners = listeners
        self._properties = properties
        self._format_arguments = format_arguments
        self._controller_port = controller_port
        self._cluster_id = cluster_id or new_cluster_id()
        self._heap_mib = heap_mib
        self._data_is_temporary = data is None
        self.data = Path(tempfile.mkdtemp(prefix="kafka-broker-")) if data is None else data.resolve()
        self.log_file = self.data / "broker.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def exit_code(self) -> int | None:
        """None while the process runs or before it was started."""
        return None if self._process is None else self._process.poll()

    def start(self) -> None:
        """Start on the data there is and block until it answers.

        Raises:
            BrokerError: It ended or stayed silent for a minute.
        """
        if _answers_tcp(self.port):
            raise BrokerError(f"port {self.port} is taken: choose another, or stop what listens there")
        self.data.mkdir(parents=True, exist_ok=True)
        properties = self.data / "server.properties"
        properties.write_text(
            server_properties(
                self.port,
                self._controller_port or free_port(),
                self.data / "log",
                listeners=self._listeners,
                overrides=self._properties,
            )
        )
        if not (self.data / "log" / "meta.properties").is_file():
            self.format(properties)
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *_java_command(f"-Xms{self._heap_mib // 2}m", f"-Xmx{self._heap_mib}m"),
                    "kafka.Kafka",
                    str(properties),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        to_remove = str(self.data) if self._data_is_temporary else ""
        self._guard = subprocess.Popen(
            ["sh", "-c", _GUARD, "guard", str(self._process.pid), to_remove],
            stdin=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            self._wait_until_it_answers()
        except BaseException:
            self.kill()
            raise

    def wait(self) -> int:
        """Block until the process ends, and return its exit code."""
        if self._process is None:
            raise BrokerError("not started")
        return self._process.wait()

    def kill(self) -> None:
        """SIGKILL, as a power cut would; the data stay for `restart`."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """SIGSTOP: it keeps its connections and answers nothing until `resume`."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        self._signal(signal.SIGCONT)

    def restart(self) -> None:
        """Start again on the same port and data; stops it first where it still runs.

        Raises:
            BrokerError: It ended or stayed silent for a minute.
        """
        self._end(signal.SIGTERM)
        self.start()

    def stop(self) -> None:
        """End the process, and remove its data where they are temporary."""
        # Nobody reads temporary data again: the second an orderly shutdown takes would buy nothing.
        self._end(signal.SIGKILL if self._data_is_temporary else signal.SIGTERM)
        if self._data_is_temporary:
            shutil.rmtree(self.data, ignore_errors=True)

    def log_tail(self) -> str:
        """The last lines the broker wrote, its own and Java's."""
        if not self.log_file.is_file():
            return "(no log)"
        return "\n".join(self.log_file.read_text(errors="replace").splitlines()[-_LOG_TAIL_LINES:])

    def format(self, properties: Path) -> None:
        """Make the data folder a broker's.

        Raises:
            BrokerError: Kafka's tool does not.
        """
        done = subprocess.run(
            [
                *_java_command("-XX:TieredStopAtLevel=1"),
                "kafka.tools.StorageTool",
                "format",
                # One word: an id may begin with a hyphen.
                f"--cluster-id={self._cluster_id}",
                "-c",
                str(properties),
                *self._format_arguments,
            ],
            capture_output=True,
            text=True,
            check=False,
            timeout=_START_SECONDS,
        )
        if done.returncode != 0:
            raise BrokerError(f"the data folder {self.data} cannot be formatted:\n{done.stdout}{done.stderr}")

    def _wait_until_it_answers(self) -> None:
        admin: AdminClient | None = None
        last: KafkaException | None = None
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            if self.exit_code is not None:
                raise BrokerError(f"Kafka ended with {self.exit_code}; its log:\n{self.log_tail()}")
            # A client made before the port listens would log each refused connection.
            if admin is None and _answers_tcp(self.port):
                admin = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})
            try:
                if admin is not None and admin.list_topics(timeout=1.0).brokers:
                    return
            except KafkaException as error:
                last = error
            time.sleep(_LOOK_EVERY_SECONDS)
        raise BrokerError(f"no answer in {_START_SECONDS:.0f} s ({last}); its log:\n{self.log_tail()}")

    def _signal(self, how: signal.Signals) -> None:
        if self._process is None:
            raise BrokerError("not started")
        _signal_group(self._process, how)

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            _signal_group(self._process, how)
            try:
                self._process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                _signal_group(self._process, signal.SIGKILL)
                self._process.wait()
            self._process = None
        if self._guard is not None:
            # The guard first: once the pipe closes it would remove the data that a restart needs.
            self._guard.kill()
            self._guard.communicate()
            self._guard = None


def _java_command(*options: str) -> list[str]:
    command = java()
    if command is None:
        raise BrokerError("no java command found")
    return [command, *options, f"-Dlog4j2.configurationFile={_LOG4J}", "-cp", class_path()]


def _signal_group(process: subprocess.Popen[bytes], how: signal.Signals) -> None:
    if process.poll() is None:
        os.killpg(process.pid, how)


def new_cluster_id() -> str:
    """An id as Kafka's tools make them."""
    return base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _answers_tcp(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0
