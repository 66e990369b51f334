"""A socket to listen on, or one line that says why not."""

from __future__ import annotations

import socket

from .errors import SettingsError


def bind(host: str, port: int, flag: str = "--port") -> socket.socket:
    """A socket bound to the address.

    Args:
        host: Address; one with colons is IPv6.
        port: Port; 0: any free one.
        flag: What chooses another port, for the error.

    Raises:
        SettingsError: It is taken or may not be used; one line that names the port and the flag.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named, or asyncio leaves Nagle's algorithm on, and every answer's second half waits 40 ms for an ACK.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(512)
    except OSError as error:
        listening.close()
        raise SettingsError(
            f"cannot listen on {host}:{port} ({error.strerror}): stop what uses it, or choose another with {flag}"
        ) from error
    return listening
