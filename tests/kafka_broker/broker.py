"""The life of one broker process: start, wait until it answers, kill, restart on the same data, stop."""

from __future__ import annotations

import shutil
import signal
import socket
import tempfile
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from .process import BrokerError, KafkaProcess, format_folder, free_port, new_cluster_id
from .properties import Listener, server_properties

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

    from .controller import KafkaController

_START_SECONDS: Final = 60.0
_LOOK_EVERY_SECONDS: Final = 0.05
_LOG_TAIL_LINES: Final = 30


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
        controller: One that runs apart and is not killed with it, as clusters of some size have them; it is started
            and stopped with this broker, and brings port and cluster. None: the broker is its own.
        cluster_id: 22 characters of base64; empty makes one.
        heap_mib: Java's largest heap.

    Raises:
        ValueError: A controller apart, whose data do not last, for a broker whose data do or that has one already.
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
        controller: KafkaController | None = None,
        cluster_id: str = "",
        heap_mib: int = 512,
    ) -> None:
        if controller is not None and (data is not None or controller_port or cluster_id):
            raise ValueError("a controller apart brings port and cluster of its own, and its data do not last")
        self.port = port or free_port()
        self._listeners = listeners
        self._properties = properties
        self._format_arguments = format_arguments
        self._controller_port = controller_port
        self._controller = controller
        self._cluster_id = cluster_id or (new_cluster_id() if controller is None else controller.cluster_id)
        self._heap_mib = heap_mib
        self._data_is_temporary = data is None
        self.data = Path(tempfile.mkdtemp(prefix="kafka-broker-")) if data is None else data.resolve()
        self.log_file = self.data / "broker.log"
        self._process: KafkaProcess | None = None

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def exit_code(self) -> int | None:
        """None while the process runs or before it was started."""
        return None if self._process is None else self._process.exit_code

    def start(self) -> None:
        """Start on the data there is and block until it answers.

        Raises:
            BrokerError: It ended or stayed silent for a minute.
        """
        if _answers_tcp(self.port):
            raise BrokerError(f"port {self.port} is taken: choose another, or stop what listens there")
        self.data.mkdir(parents=True, exist_ok=True)
        try:
            if self._controller is not None:
                self._controller.start()
            self._run()
            self._wait_until_it_answers()
        except BaseException:
            self.kill()
            if self._controller is not None:
                self._controller.stop()
            raise

    def _run(self) -> None:
        properties = self.data / "server.properties"
        properties.write_text(
            server_properties(
                self.port,
                (self._controller_port or free_port()) if self._controller is None else self._controller.port,
                self.data / "log",
                is_controller=self._controller is None,
                listeners=self._listeners,
                overrides=self._properties,
            )
        )
        if not (self.data / "log" / "meta.properties").is_file():
            self.format(properties)
        self._process = KafkaProcess(
            properties,
            self.log_file,
            heap_mib=self._heap_mib,
            to_remove=self.data if self._data_is_temporary else None,
        )

    def wait(self) -> int:
        """Block until the process ends, and return its exit code."""
        return self._running.wait()

    def kill(self) -> None:
        """SIGKILL, as a power cut would; the data stay for `restart`."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """SIGSTOP: from when this returns it keeps its connections and answers nothing, until `resume`."""
        self._running.pause()

    def resume(self) -> None:
        """SIGCONT."""
        self._running.send(signal.SIGCONT)

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
        if self._controller is not None:
            self._controller.stop()
        if self._data_is_temporary:
            shutil.rmtree(self.data, ignore_errors=True)

    def log_tail(self) -> str:
        """The last lines that broker and controller wrote, their own and Java's."""
        logs = [self.log_file] if self._controller is None else [self.log_file, self._controller.log_file]
        return "\n".join(map(_tail, logs))

    def format(self, properties: Path) -> None:
        """Make the data folder a broker's.

        Raises:
            BrokerError: Kafka's tool does not.
        """
        format_folder(properties, self._cluster_id, self._format_arguments)

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

    @property
    def _running(self) -> KafkaProcess:
        if self._process is None:
            raise BrokerError("not started")
        return self._process

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            self._process.end(how)
            self._process = None


def _answers_tcp(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _tail(log: Path) -> str:
    if not log.is_file():
        return "(no log)"
    return "\n".join(log.read_text(errors="replace").splitlines()[-_LOG_TAIL_LINES:])
