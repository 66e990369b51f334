"""What a worker tells at its `--metrics-port`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

import httpx

from .waiting import wait_until

if TYPE_CHECKING:
    from .command import Command

_PREFIX = "kafka_embeddings_worker_"


class Told(NamedTuple):
    """A probe's answer."""

    status: int
    message: str


class Probes:
    """One worker's; waits until it listens.

    Args:
        command: The worker, started with `--metrics-port 0`.
    """

    def __init__(self, command: Command) -> None:
        self._command = command
        url = command.wait_for(r'"url": "(http://[\d.]+:\d+)", "event": "probes and metrics"').group(1)
        self._http = httpx.Client(base_url=url, timeout=30, verify=False)

    def probe(self, which: str) -> Told:
        """Ask `live` or `ready`."""
        answer = self._http.get(f"/health/{which}")
        return Told(answer.status_code, answer.json()["message"])

    @property
    def live(self) -> Told:
        return self.probe("live")

    @property
    def ready(self) -> Told:
        return self.probe("ready")

    def wait_until_ready(self) -> None:
        wait_until(lambda: self.ready.status == 200, "a ready worker", 60, self._command.quote)

    def metrics(self) -> dict[str, float]:
        """Every number, labels as they are written, without the prefix of every name."""
        lines = self._http.get("/metrics").raise_for_status().text.splitlines()
        told = (line.removeprefix(_PREFIX).rpartition(" ") for line in lines if line[0] != "#")
        return {name: float(number) for name, _, number in told}

    def total(self, name: str, **labels: str) -> float:
        """Sum of a metric over whatever labels are not given."""
        wanted = [f'{label}="{value}"' for label, value in labels.items()]
        return sum(
            number
            for series, number in self.metrics().items()
            if re.match(rf"{name}(\{{|$)", series) and all(pair in series for pair in wanted)
        )

    @property
    def is_gone(self) -> bool:
        """Whether nobody listens any more."""
        try:
            self._http.get("/health/live")
        except httpx.ConnectError:
            return True
        return False

    def close(self) -> None:
        self._http.close()
