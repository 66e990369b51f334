"""Requests and tokens a minute of each key, counted in windows that a key's first request begins.

In memory, or in a Redis that all replicas share. A storage that does not answer refuses limited keys: what cannot
be counted is not let through.
"""

from __future__ import annotations

import math
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import structlog
from limits import RateLimitItemPerSecond
from limits.aio.storage import MemoryStorage, RedisStorage, Storage
from limits.errors import ConfigurationError, StorageError

from schemas.errors import ErrorCode, RequestError
from transport.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic import SecretStr

    from .keys import StoredKey

log = structlog.get_logger("api")

_WINDOW_SECONDS: Final = 60
_REDIS_URL: Final = "give a Redis URL, redis://host:port/number"
_REDIS_TIMEOUT_SECONDS: Final = 1.0
_REDIS_ROUNDING_SECONDS: Final = 0.5
"""Redis tells the rest of a window in whole seconds, rounded to the nearest."""


def storage_at(url: SecretStr | None) -> Storage:
    """Where to count: this process's memory, or the Redis at a URL. Connects with the first request.

    Raises:
        SettingsError: The URL is none of Redis, or its client is not installed.
    """
    if url is None:
        return MemoryStorage()
    address = url.get_secret_value()
    if not address.startswith(("redis://", "rediss://", "redis+unix://")):
        raise SettingsError(f"setting rate_limit_storage: {_REDIS_URL}")
    try:
        return RedisStorage(f"async+{address}", wrap_exceptions=True, implementation="redispy", **_redis_options())
    except ModuleNotFoundError:
        raise SettingsError("rate_limit_storage needs more: pip install 'kafka-embeddings[redis]'") from None
    except (ConfigurationError, ValueError):
        raise SettingsError(f"setting rate_limit_storage: {_REDIS_URL}") from None


def _redis_options() -> dict[str, Any]:
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff

    return {
        "socket_timeout": _REDIS_TIMEOUT_SECONDS,
        "socket_connect_timeout": _REDIS_TIMEOUT_SECONDS,
        # Once, for a connection that Redis closed while it was idle; more would only keep callers waiting.
        "retry": Retry(NoBackoff(), 1),
    }


@dataclass(slots=True)
class _Window:
    """One limit of one key."""

    unit: str
    limit: int
    name: str
    """What it is counted under."""
    used: int = 0
    ends_at: float = 0.0
    """Epoch seconds."""


class RateLimits:
    """The limits of all keys.

    Args:
        storage: Where to count.
        window_seconds: Length of a window.
    """

    def __init__(self, storage: Storage, window_seconds: int = _WINDOW_SECONDS) -> None:
        self._storage = storage
        self._window_seconds = window_seconds
        self._slack_seconds = 0.0 if isinstance(storage, MemoryStorage) else _REDIS_ROUNDING_SECONDS
        self._is_away = False

    def charge(self, key: StoredKey | None, headers: dict[str, str]) -> Charge:
        """What one request will be charged; nothing without a key or limits.

        Args:
            key: Whose request it is.
            headers: Of its response; what is left of the limits is written there.
        """
        return Charge(self, headers, self._window(key, "requests"), self._window(key, "tokens"))

    async def aclose(self) -> None:
        """Let go of the storage."""
        if isinstance(self._storage, RedisStorage):
            await self._storage.bridge.get_connection().aclose()  # type: ignore[attr-defined]

    def _window(self, key: StoredKey | None, unit: str) -> _Window | None:
        limits = {} if key is None else {"requests": key.requests_per_minute, "tokens": key.tokens_per_minute}
        limit = limits.get(unit)
        if key is None or limit is None:
            return None
        # The hash, not the name: a key made anew under an old name starts anew.
        item = RateLimitItemPerSecond(limit, self._window_seconds)
        return _Window(unit, limit, item.key_for(unit, key.sha256))

    async def take(self, window: _Window, amount: int) -> bool:
        """Count an amount where there is room for it.

        Returns:
            Whether there was; nothing is counted otherwise.

        Raises:
            RequestError: `unavailable`: the storage does not answer.
        """
        with self._reached():
            window.used = await self._storage.get(window.name)
            fits = window.used + amount <= window.limit
            if fits:
                window.used = await self._storage.incr(window.name, self._window_seconds, amount)
                if window.used > window.limit:  # somebody else was quicker
                    window.used = await self._storage.incr(window.name, self._window_seconds, -amount)
                    fits = False
            window.ends_at = await self._storage.get_expiry(window.name)
        return fits

    async def correct(self, window: _Window, amount: int) -> None:
        """Count more or less than was taken, unless the window is over; what cannot be counted is logged."""
        if amount == 0 or time.time() >= window.ends_at:
            return
        try:
            with self._reached():
                window.used = await self._storage.incr(window.name, self._window_seconds, amount)
        except RequestError:
            return  # logged; the answer is there and goes out

    def rest_seconds(self, window: _Window) -> int:
        """Whole seconds until the window is over."""
        return max(1, math.ceil(window.ends_at - time.time() + self._slack_seconds))

    @contextmanager
    def _reached(self) -> Iterator[None]:
        try:
            yield
        except StorageError as error:
            if not self._is_away:
                self._is_away = True
                log.error("rate limits cannot be counted, keys with limits are refused", reason=str(error))
            raise RequestError(
                ErrorCode.UNAVAILABLE, "the rate limits of this key cannot be checked: try again soon"
            ) from error
        if self._is_away:
            self._is_away = False
            log.info("rate limits are counted again")


@dataclass(slots=True)
class Charge:
    """What one request counts against the limits of its key."""

    _limits: RateLimits
    _headers: dict[str, str]
    _requests: _Window | None
    _tokens: _Window | None
    _taken_tokens: int = field(default=0, init=False)

    async def take_request(self) -> None:
        """Count the request itself.

        Raises:
            RequestError: `rate_limit_exceeded`, or `unavailable`: not counted.
        """
        if self._requests is not None:
            await self._take(self._requests, 1)

    async def take_tokens(self, estimate: int) -> None:
        """Count the tokens it will probably have.

        Raises:
            RequestError: `rate_limit_exceeded`, or `unavailable`: not counted. `request_too_large`: over the limit
                of a whole minute, so that it would never fit.
        """
        if self._tokens is None:
            return
        if estimate > self._tokens.limit:
            raise RequestError(
                ErrorCode.REQUEST_TOO_LARGE,
                f"about {estimate} tokens, and this key has {self._tokens.limit} a minute: split the request",
                param="input",
            )
        await self._take(self._tokens, estimate)
        self._taken_tokens = estimate

    async def settle(self, tokens: int) -> None:
        """Put the tokens it really had in place of the estimate."""
        if self._tokens is not None:
            await self._limits.correct(self._tokens, tokens - self._taken_tokens)
            self._taken_tokens = tokens
            self._tell(self._tokens)

    async def _take(self, window: _Window, amount: int) -> None:
        fits = await self._limits.take(window, amount)
        self._tell(window)
        if fits:
            return
        seconds = self._limits.rest_seconds(window)
        self._headers["retry-after"] = str(seconds)
        raise RequestError(
            ErrorCode.RATE_LIMIT_EXCEEDED,
            f"this key has {window.limit} {window.unit} a minute, {window.used} are used, {amount} were asked for: "
            f"try again in {seconds} s",
        )

    def _tell(self, window: _Window) -> None:
        self._headers[f"x-ratelimit-limit-{window.unit}"] = str(window.limit)
        self._headers[f"x-ratelimit-remaining-{window.unit}"] = str(max(0, window.limit - window.used))
        self._headers[f"x-ratelimit-reset-{window.unit}"] = duration(self._limits.rest_seconds(window))


def duration(seconds: int) -> str:
    """As OpenAI writes it: `1s`, `6m0s`."""
    minutes, rest = divmod(seconds, 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
