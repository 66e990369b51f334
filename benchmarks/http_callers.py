"""Callers of the API with as little of their own as can be: what is measured or soaked is the service."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

_LENGTH: Final = b"content-length:"


class Caller:
    """One connection, kept alive, and one request at a time on it. For asyncio.

    Args:
        reader: Of the connection.
        writer: Of the connection.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def connect(cls, url: str) -> Caller:
        """Connect to `http://host:port`."""
        host, _, port = url.removeprefix("http://").partition(":")
        return cls(*await asyncio.open_connection(host, int(port)))

    async def post(self, body: bytes) -> bytes:
        """Ask for embeddings.

        Returns:
            The body of the response.

        Raises:
            RuntimeError: The status is not 200.
        """
        head = b"POST /v1/embeddings HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        self._writer.write(b"%scontent-length: %d\r\n\r\n%s" % (head, len(body), body))
        answer = await self._reader.readuntil(b"\r\n\r\n")
        lines = answer.lower().split(b"\r\n")
        length = next(int(line.removeprefix(_LENGTH)) for line in lines if line.startswith(_LENGTH))
        content = await self._reader.readexactly(length)
        if not answer.startswith(b"HTTP/1.1 200 "):
            raise RuntimeError(f"{answer.decode()}{content.decode()}")
        return content

    async def close(self) -> None:
        """End the connection."""
        self._writer.close()
        await self._writer.wait_closed()


async def post_all(url: str, bodies: Iterator[bytes], callers: int) -> None:
    """Post every body, from so many callers at once.

    Raises:
        RuntimeError: One was not answered with 200.
    """

    async def call() -> None:
        caller = await Caller.connect(url)
        for body in bodies:
            await caller.post(body)
        await caller.close()

    await asyncio.gather(*(call() for _ in range(callers)))
