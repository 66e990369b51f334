"""One Java process of Kafka's: started on its properties, killed, and ended with the interpreter that started it."""

from __future__ import annotations

import base64
import os
import signal
import socket
import subprocess
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.stack.waiting import stands_still, wait_until

from .distribution import class_path, java

if TYPE_CHECKING:
    from collections.abc import Sequence

_LOG4J: Final = Path(__file__).with_name("log4j2.properties")
_FORMAT_SECONDS: Final = 60.0
_STOP_SECONDS: Final = 10.0

_GUARD: Final = 'read -r _; kill -s KILL -- "-$1"; [ -z "$2" ] || rm -rf -- "$2"'
"""Ends the process and its temporary data once this interpreter is gone, SIGKILL included: its pipe closes."""


class BrokerError(Exception):
    """Kafka did not come up; the message quotes the end of its log, and no process is left."""


class KafkaProcess:
    """A broker's or a controller's process, running from here on.

    Args:
        properties: Its `server.properties`.
        log_file: Gets what it says.
        heap_mib: Java's largest heap.
        to_remove: Folder that ends with this interpreter; None: none does.
    """

    def __init__(self, properties: Path, log_file: Path, *, heap_mib: int, to_remove: Path | None) -> None:
        with log_file.open("ab") as log:
            self._process = subprocess.Popen(
                [*_java_command(f"-Xms{heap_mib // 2}m", f"-Xmx{heap_mib}m"), "kafka.Kafka", str(properties)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            self._guard = subprocess.Popen(
                ["sh", "-c", _GUARD, "guard", str(self._process.pid), str(to_remove or "")],
                stdin=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except BaseException:
            self.send(signal.SIGKILL)
            self._process.wait()
            raise

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._process.poll()

    def wait(self) -> int:
        """Block until it ends, and return its exit code."""
        return self._process.wait()

    def send(self, how: signal.Signals) -> None:
        """Send a signal to it and what it has started, where it still runs."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, how)

    def pause(self) -> None:
        """SIGSTOP, and wait until it stands still.

        Raises:
            AssertionError: It does not.
        """
        self.send(signal.SIGSTOP)
        wait_until(lambda: self.exit_code is not None or stands_still(self._process.pid), "Kafka to stand still")

    def end(self, how: signal.Signals) -> None:
        """Send a signal and wait until it is gone, by SIGKILL if need be."""
        self.send(how)
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.send(signal.SIGKILL)
            self._process.wait()
        # The guard goes with it: once the pipe closes it would remove the data that a restart needs.
        self._guard.kill()
        self._guard.communicate()


def format_folder(properties: Path, cluster_id: str, arguments: Sequence[str] = ()) -> None:
    """Make a data folder one of Kafka's.

    Args:
        properties: Its `server.properties`.
        cluster_id: 22 characters of base64.
        arguments: Further ones for Kafka's tool.

    Raises:
        BrokerError: Kafka's tool does not.
    """
    done = subprocess.run(
        [
            *_java_command("-XX:TieredStopAtLevel=1"),
            "kafka.tools.StorageTool",
            "format",
            # One word: an id may begin with a hyphen.
            f"--cluster-id={cluster_id}",
            "-c",
            str(properties),
            *arguments,
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=_FORMAT_SECONDS,
    )
    if done.returncode != 0:
        raise BrokerError(f"the data folder of {properties} cannot be formatted:\n{done.stdout}{done.stderr}")


def _java_command(*options: str) -> list[str]:
    command = java()
    if command is None:
        raise BrokerError("no java command found")
    return [command, *options, f"-Dlog4j2.configurationFile={_LOG4J}", "-cp", class_path()]


def new_cluster_id() -> str:
    """An id as Kafka's tools make them."""
    return base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
