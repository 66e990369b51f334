"""The file of API keys: name, limits and SHA-256 of each; a key itself is nowhere but with its owner."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import secrets
import stat
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Final

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from transport.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_PREFIX: Final = "ke-"
_KEY_BYTES: Final = 32
_MODE: Final = 0o600
_READABLE_BY_OTHERS: Final = stat.S_IRGRP | stat.S_IROTH

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
PerMinute = Annotated[int, Field(ge=1)]


class StoredKey(BaseModel):
    """One key as the file holds it."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    name: Name
    """Whose it is; for people."""
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    """Of the whole key, in hex."""
    created: AwareDatetime
    requests_per_minute: PerMinute | None = None
    """None: no limit."""
    tokens_per_minute: PerMinute | None = None
    """None: no limit."""


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    keys: tuple[StoredKey, ...] = ()


def digest(key: str) -> str:
    """SHA-256 of a key, in hex. A key has 256 random bits: a slow hash would protect nothing more."""
    return hashlib.sha256(key.encode()).hexdigest()


def read_keys(path: Path) -> tuple[StoredKey, ...]:
    """The keys of a file, in the order they were made.

    Raises:
        SettingsError: It is not there, cannot be read, or is no file of keys.
    """
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        raise SettingsError(
            f"no file of keys at {path}: make it with `kafka-embeddings keys new NAME --auth {path}`"
        ) from None
    except OSError as error:
        raise SettingsError(f"cannot read the keys in {path}: {error.strerror}") from error
    try:
        return _File.model_validate_json(text).keys
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise SettingsError(f"{path} is no file of keys: {where or 'the file'}: {first['msg']}") from None


def new_key(
    path: Path, name: str, *, requests_per_minute: int | None = None, tokens_per_minute: int | None = None
) -> str:
    """Make a key and store its SHA-256; the file is made where there is none.

    Returns:
        The key, which nobody can read again.

    Raises:
        SettingsError: The name is taken or is none, a limit is below 1, or the file cannot be read or written.
    """
    key = _PREFIX + secrets.token_urlsafe(_KEY_BYTES)
    try:
        stored = StoredKey(
            name=name,
            sha256=digest(key),
            created=datetime.now(UTC).replace(microsecond=0),
            requests_per_minute=requests_per_minute,
            tokens_per_minute=tokens_per_minute,
        )
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        raise SettingsError(f"{first['loc'][0]} {first['input']!r}: {first['msg']}") from None
    with _locked(path):
        keys = read_keys(path) if path.exists() else ()
        if any(one.name == name for one in keys):
            raise SettingsError(f"{path} has a key named {name} already: revoke it first, or choose another name")
        _write(path, (*keys, stored))
    return key


def revoke_key(path: Path, name: str) -> None:
    """Take a key out of the file; a running API refuses it within about a second.

    Raises:
        SettingsError: There is none of that name, or the file cannot be read or written.
    """
    with _locked(path):
        keys = read_keys(path)
        rest = tuple(one for one in keys if one.name != name)
        if len(rest) == len(keys):
            known = ", ".join(one.name for one in keys) or "none"
            raise SettingsError(f"{path} has no key named {name}: its keys are {known}")
        _write(path, rest)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold off other writers; by the folder, since the file itself is replaced."""
    try:
        folder = os.open(path.resolve().parent, os.O_RDONLY)
    except OSError as error:
        raise SettingsError(f"cannot write {path}: {error.strerror}: name a folder that is there") from error
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _write(path: Path, keys: tuple[StoredKey, ...]) -> None:
    """Replace the file at once, so that a reader sees the old one or the new one; whoever could read it still can."""
    target = path.resolve()
    unfinished = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        unfinished.unlink(missing_ok=True)
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _MODE)
        with os.fdopen(descriptor, "w") as file:
            if target.exists():
                _keep_access(descriptor, target.stat())
            file.write(_File(keys=keys).model_dump_json(indent=2, exclude_none=True) + "\n")
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(target)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise SettingsError(f"cannot write {path}: {error.strerror}") from error


def _keep_access(descriptor: int, before: os.stat_result) -> None:
    """Give a file the owner and mode of the one it replaces.

    Raises:
        OSError: That is not permitted, and an API under the owner's name could not read it any more.
    """
    try:
        os.fchown(descriptor, before.st_uid, before.st_gid)
    except PermissionError:
        if not before.st_mode & _READABLE_BY_OTHERS:
            raise PermissionError(
                errno.EPERM, "its owner could not read it any more: run this as its owner"
            ) from None
        os.fchown(descriptor, -1, before.st_gid)
    os.fchmod(descriptor, stat.S_IMODE(before.st_mode))
