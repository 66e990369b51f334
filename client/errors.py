"""What the client raises beside `schemas.errors.RequestError`, which every failed request ends in.

ClientError
└── NotConnectedError   used before `start` or after `stop`
"""

from __future__ import annotations


class ClientError(Exception):
    """Base of what this package raises."""


class NotConnectedError(ClientError):
    """The client is not started."""
