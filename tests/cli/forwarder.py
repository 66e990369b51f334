"""A port that begins to answer when told to: what connects to it is passed on to another one."""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import Self


class Forwarder:
    """Holds a free port of this machine; nothing listens on it before `open`."""

    def __init__(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self._server: asyncio.Server | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def open(self, target: str) -> None:
        """Listen, and pass everything on to `host:port`."""
        host, _, port = target.rpartition(":")

        async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            target_reader, target_writer = await asyncio.open_connection(host, int(port))
            await asyncio.gather(_copy(reader, target_writer), _copy(target_reader, writer))

        starting = asyncio.start_server(accepted, "127.0.0.1", self.port)
        self._server = asyncio.run_coroutine_threadsafe(starting, self._loop).result(10)

    def close(self) -> None:
        async def end() -> None:
            if self._server is not None:
                self._server.close()
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while chunk := await reader.read(65536):
            writer.write(chunk)
            await writer.drain()
    except ConnectionError:
        pass  # the other end is gone, which is an end like any other
    finally:
        writer.close()
