"""Who asks: the key of a request, looked up in a file that is read again whenever it changes."""

from __future__ import annotations

import hmac
import time
from typing import TYPE_CHECKING, Final, TypeAlias

import structlog

from schemas.errors import ErrorCode, RequestError
from transport.errors import SettingsError

from .keys import StoredKey, digest, read_keys

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

log = structlog.get_logger("api")

_LOOK_EVERY_SECONDS: Final = 1.0

_Fingerprint: TypeAlias = tuple[int, int, int]


class KeyRing:
    """The keys in force. A file that breaks later leaves the last good ones in force, and an error in the log.

    Args:
        path: The file.
        clock: Now, in seconds; any origin.

    Raises:
        SettingsError: There is no such file, or it is broken.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._fingerprint = _fingerprint(path)
        self._keys = read_keys(path)
        self._complained_of: _Fingerprint | None = self._fingerprint
        self._looked_at = clock()

    def find(self, key: str) -> StoredKey | None:
        """The entry of a key, or None. Takes as long for a near miss as for any other."""
        self._refresh()
        wanted = digest(key)
        found = None
        for stored in self._keys:
            if hmac.compare_digest(stored.sha256, wanted):
                found = stored
        return found

    def _refresh(self) -> None:
        now = self._clock()
        if now - self._looked_at < _LOOK_EVERY_SECONDS:
            return
        self._looked_at = now
        # Taken before the file is read: a change in between is seen the next time.
        fingerprint = _fingerprint(self._path)
        if fingerprint != self._fingerprint:
            self._read_again(fingerprint)
        else:
            self._complained_of = fingerprint

    def _read_again(self, fingerprint: _Fingerprint | None) -> None:
        """Take what the file holds now. One that cannot be read is tried at every look, and complained of once."""
        try:
            self._keys = read_keys(self._path)
        except SettingsError as error:
            if fingerprint != self._complained_of:
                self._complained_of = fingerprint
                log.error("the file of keys is broken, the last good one stays in force", reason=str(error))
            return
        self._fingerprint = self._complained_of = fingerprint
        log.info("keys read again", keys=len(self._keys))


def bearer_key(keys: KeyRing, authorization: str | None) -> StoredKey:
    """The key an `Authorization` header carries.

    Raises:
        RequestError: `invalid_api_key`: there is none, or it is not in the file.
    """
    scheme, _, key = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not key.strip():
        raise RequestError(
            ErrorCode.INVALID_API_KEY, "Unauthorized: send your key in the header 'Authorization: Bearer KEY'"
        )
    stored = keys.find(key.strip())
    if stored is None:
        raise RequestError(ErrorCode.INVALID_API_KEY, "Unauthorized: this key is unknown or was revoked")
    return stored


def _fingerprint(path: Path) -> _Fingerprint | None:
    """What changes with the file; None where there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
