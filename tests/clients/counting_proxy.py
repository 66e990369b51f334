"""A proxy before the API that keeps what clients send, so that calls are counted where they arrive."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from tests.stack.stack import http_client

if TYPE_CHECKING:
    import httpx

_OWN_HEADERS = {"connection", "content-encoding", "content-length", "date", "host", "server", "transfer-encoding"}


class Call(NamedTuple):
    """One request of a client."""

    method: str
    path: str
    body: dict[str, Any]
    status: int


class CountingProxy:
    """Passes everything on unchanged; leave by `close` or as a context manager.

    Args:
        target: Address of the API.
    """

    def __init__(self, target: str) -> None:
        self.calls: list[Call] = []
        """In the order in which they were answered."""
        self._target = http_client(target)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def pass_on(self, method: str, path: str, headers: dict[str, str], content: bytes) -> httpx.Response:
        """Ask the API in the client's place."""
        response = self._target.request(method, path, headers=headers, content=content)
        self.calls.append(Call(method, path, json.loads(content or b"{}"), response.status_code))
        return response

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._target.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _handler(proxy: CountingProxy) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            content = self.rfile.read(int(self.headers.get("content-length", 0)))
            sent = {name: value for name, value in self.headers.items() if name.lower() not in _OWN_HEADERS}
            response = proxy.pass_on(self.command, self.path, sent, content)
            self.send_response(response.status_code)
            for name, value in response.headers.items():
                if name.lower() not in _OWN_HEADERS:
                    self.send_header(name, value)
            self.send_header("content-length", str(len(response.content)))
            self.end_headers()
            self.wfile.write(response.content)

        do_GET = do_POST = _answer  # noqa: N815 - named so by the base class

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - named so by the base class
            """Quiet: failures are told by the tests."""

    return Handler
