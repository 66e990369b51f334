"""A controller apart from its broker, as clusters of some size have them: it lives on while the broker is dead.

A broker that is its own controller, killed and started again, takes itself for the leader that it was until the
controller has told it otherwise: it loads groups and transactions twice at the same time, and Apache Kafka 4.3.1
takes the end of the first loading for that of the second (`CoordinatorRuntime`, "CompleteLoad").
"""

from __future__ import annotations

import shutil
import signal
import tempfile
from pathlib import Path
from typing import Final

from .process import KafkaProcess, format_folder, free_port, new_cluster_id
from .properties import controller_properties

_HEAP_MIB: Final = 128


class KafkaController:
    """One for one broker, on 127.0.0.1; its data are temporary."""

    def __init__(self) -> None:
        self.port = free_port()
        self.cluster_id = new_cluster_id()
        self._data = Path(tempfile.mkdtemp(prefix="kafka-controller-"))
        self.log_file = self._data / "controller.log"
        self._process: KafkaProcess | None = None

    def start(self) -> None:
        """Start it where it does not run; whoever needs it waits for it.

        Raises:
            BrokerError: Its data folder cannot be made.
        """
        if self._process is not None and self._process.exit_code is None:
            return
        self._data.mkdir(exist_ok=True)
        properties = self._data / "server.properties"
        properties.write_text(controller_properties(self.port, self._data / "log"))
        if not (self._data / "log" / "meta.properties").is_file():
            format_folder(properties, self.cluster_id)
        self._process = KafkaProcess(properties, self.log_file, heap_mib=_HEAP_MIB, to_remove=self._data)

    def stop(self) -> None:
        """End it, and remove its data."""
        if self._process is not None:
            self._process.end(signal.SIGKILL)
            self._process = None
        shutil.rmtree(self._data, ignore_errors=True)
