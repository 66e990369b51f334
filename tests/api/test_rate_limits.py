from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from limits.aio.storage import MemoryStorage
from pydantic import SecretStr
from structlog.testing import capture_logs

from api.admission import UNDECLARED_BYTES, Admission
from api.keys import StoredKey, digest, new_key
from api.rate_limits import Charge, RateLimits, duration, storage_at
from schemas.errors import ErrorCode, RequestError
from tests.lacking import skip_for_want_of
from transport.errors import SettingsError

from .hybrid import check_error
from .redis_server import RedisServer, why_no_redis
from .stand_in import StandInClient, api_over, ask

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path

    import httpx

    from tests.stack.stack import Stack


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    """A running Redis."""
    reason = why_no_redis()
    if reason is not None:
        skip_for_want_of(reason)
    server = RedisServer(tmp_path)
    server.start()
    yield server
    server.stop()


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.slow)])
def storage_url(request: pytest.FixtureRequest) -> SecretStr | None:
    """Every place the limits can be counted in."""
    if request.param == "memory":
        return None
    server: RedisServer = request.getfixturevalue("redis_server")
    return SecretStr(server.url)


def key(name: str = "search", requests: int | None = None, tokens: int | None = None) -> StoredKey:
    return StoredKey(
        name=name,
        sha256=digest(name),
        created=datetime(2026, 1, 1, tzinfo=UTC),
        requests_per_minute=requests,
        tokens_per_minute=tokens,
    )


def run(url: SecretStr | None, use: Callable[[RateLimits], Awaitable[None]], window_seconds: int = 60) -> None:
    """Use limits in an event loop of their own."""

    async def used() -> None:
        limits = RateLimits(storage_at(url), window_seconds)
        try:
            await use(limits)
        finally:
            await limits.aclose()

    asyncio.run(used())


async def refused(asked: Awaitable[None]) -> ErrorCode:
    with pytest.raises(RequestError) as error:
        await asked
    return error.value.code


# --- counting -----------------------------------------------------------------------------------------------


def test_requests_up_to_the_limit_are_let_through_and_not_one_more(storage_url: SecretStr | None) -> None:
    async def use(limits: RateLimits) -> None:
        remaining = []
        for _ in range(3):
            headers: dict[str, str] = {}
            await limits.charge(key(requests=3), headers).take_request()
            remaining.append(headers["x-ratelimit-remaining-requests"])
        assert remaining == ["2", "1", "0"]

        headers = {}
        assert await refused(limits.charge(key(requests=3), headers).take_request()) == ErrorCode.RATE_LIMIT_EXCEEDED
        assert headers["x-ratelimit-limit-requests"] == "3"
        assert headers["x-ratelimit-remaining-requests"] == "0"
        assert 55 <= int(headers["retry-after"]) <= 61
        assert headers["x-ratelimit-reset-requests"] == duration(int(headers["retry-after"]))

    run(storage_url, use)


def test_of_many_at_once_as_many_are_let_in_as_the_limit_says(storage_url: SecretStr | None) -> None:
    async def use(limits: RateLimits) -> None:
        charges = [limits.charge(key(requests=5), {}) for _ in range(20)]
        outcomes = await asyncio.gather(*(charge.take_request() for charge in charges), return_exceptions=True)

        assert sum(outcome is None for outcome in outcomes) == 5
        assert all(outcome is None or isinstance(outcome, RequestError) for outcome in outcomes)

    run(storage_url, use)


def test_a_key_waits_as_long_as_it_is_told_and_is_let_in(storage_url: SecretStr | None) -> None:
    async def use(limits: RateLimits) -> None:
        await limits.charge(key(requests=1), {}).take_request()
        headers: dict[str, str] = {}
        assert await refused(limits.charge(key(requests=1), headers).take_request()) == ErrorCode.RATE_LIMIT_EXCEEDED
        assert headers["retry-after"] in ("1", "2")

        await asyncio.sleep(int(headers["retry-after"]))

        await limits.charge(key(requests=1), {}).take_request()

    run(storage_url, use, window_seconds=1)


def test_what_is_refused_is_not_counted(storage_url: SecretStr | None) -> None:
    async def use(limits: RateLimits) -> None:
        await limits.charge(key(tokens=10), {}).take_tokens(6)
        assert await refused(limits.charge(key(tokens=10), {}).take_tokens(5)) == ErrorCode.RATE_LIMIT_EXCEEDED

        await limits.charge(key(tokens=10), {}).take_tokens(4)

    run(storage_url, use)


def test_what_does_not_fit_is_not_even_counted_for_a_moment_in_which_others_would_be_refused() -> None:
    class Watched(MemoryStorage):
        counted: ClassVar[list[int]] = []

        async def incr(self, key: str, expiry: float, amount: int = 1) -> int:
            self.counted.append(amount)
            return await super().incr(key, expiry, amount)

    async def use() -> None:
        limits = RateLimits(Watched())
        await limits.charge(key(tokens=10), {}).take_tokens(6)
        assert await refused(limits.charge(key(tokens=10), {}).take_tokens(5)) == ErrorCode.RATE_LIMIT_EXCEEDED

    asyncio.run(use())

    assert Watched.counted == [6]


@pytest.mark.parametrize(("estimate", "real", "remaining"), [(6, 2, "8"), (2, 6, "4"), (6, 6, "4"), (2, 60, "0")])
def test_the_real_tokens_take_the_place_of_the_estimate(
    storage_url: SecretStr | None, estimate: int, real: int, remaining: str
) -> None:
    async def use(limits: RateLimits) -> None:
        headers: dict[str, str] = {}
        charge = limits.charge(key(tokens=10), headers)
        await charge.take_tokens(estimate)
        await charge.settle(real)
        assert headers["x-ratelimit-remaining-tokens"] == remaining

        other: dict[str, str] = {}
        rest = int(remaining)
        if rest:
            await limits.charge(key(tokens=10), {}).take_tokens(rest)
        assert await refused(limits.charge(key(tokens=10), other).take_tokens(1)) == ErrorCode.RATE_LIMIT_EXCEEDED

    run(storage_url, use)


def test_a_correction_after_its_minute_is_not_counted_in_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    async def use(limits: RateLimits) -> None:
        charge = limits.charge(key(tokens=10), {})
        await charge.take_tokens(6)
        now = time.time() + 61
        monkeypatch.setattr(time, "time", lambda: now)

        await charge.settle(1)

        headers: dict[str, str] = {}
        await limits.charge(key(tokens=10), headers).take_tokens(1)
        assert headers["x-ratelimit-remaining-tokens"] == "9"

    run(None, use)


def test_more_than_a_minute_has_is_too_large_since_it_would_never_fit() -> None:
    async def use(limits: RateLimits) -> None:
        charge = limits.charge(key(tokens=10), {})
        assert await refused(charge.take_tokens(11)) == ErrorCode.REQUEST_TOO_LARGE
        await charge.take_tokens(10)

    run(None, use)


def test_keys_are_counted_apart_and_one_without_limits_not_at_all() -> None:
    async def use(limits: RateLimits) -> None:
        for name in ("search", "index"):
            await limits.charge(key(name, requests=1), {}).take_request()
        headers: dict[str, str] = {}
        for _ in range(5):
            for free in (limits.charge(key("free"), headers), limits.charge(None, headers)):
                await free.take_request()
                await free.take_tokens(10**9)
                await free.settle(10**9)
        assert headers == {}

    run(None, use)


@pytest.mark.parametrize(("seconds", "text"), [(1, "1s"), (59, "59s"), (60, "1m0s"), (61, "1m1s"), (360, "6m0s")])
def test_a_duration_is_written_as_openai_does(seconds: int, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize("url", ["?!", "memcached://127.0.0.1", "127.0.0.1:6379", "redis://127.0.0.1:port/0"])
def test_an_address_that_is_none_of_redis_is_refused(url: str) -> None:
    with pytest.raises(SettingsError, match="setting rate_limit_storage"):
        storage_at(SecretStr(url))


def test_without_an_address_this_process_counts() -> None:
    assert isinstance(storage_at(None), MemoryStorage)


# --- Redis --------------------------------------------------------------------------------------------------


def test_replicas_over_one_redis_count_together(redis_server: RedisServer) -> None:
    url = SecretStr(redis_server.url)

    async def use(limits: RateLimits) -> None:
        other = RateLimits(storage_at(url))
        await limits.charge(key(requests=2), {}).take_request()
        await other.charge(key(requests=2), {}).take_request()
        for one in (limits, other):
            assert await refused(one.charge(key(requests=2), {}).take_request()) == ErrorCode.RATE_LIMIT_EXCEEDED
        await other.aclose()

    run(url, use)


def test_while_redis_is_away_limited_keys_are_refused_and_one_error_says_so(redis_server: RedisServer) -> None:
    async def use(limits: RateLimits) -> None:
        def charge(name: str = "search", requests: int | None = 9) -> Charge:
            return limits.charge(key(name, requests=requests), {})

        await charge().take_request()
        await asyncio.to_thread(redis_server.stop)
        started_at = time.monotonic()
        with capture_logs() as logged:
            for _ in range(3):
                assert await refused(charge().take_request()) == ErrorCode.UNAVAILABLE
            await charge("free", None).take_request()
            assert time.monotonic() - started_at < 5
            await asyncio.to_thread(redis_server.start)
            await charge().take_request()

        assert [(entry["event"], entry["log_level"]) for entry in logged] == [
            ("rate limits cannot be counted, keys with limits are refused", "error"),
            ("rate limits are counted again", "info"),
        ]

    run(SecretStr(redis_server.url), use)


def test_an_answer_goes_out_also_when_redis_left_before_it_was_counted(redis_server: RedisServer) -> None:
    async def use(limits: RateLimits) -> None:
        charge = limits.charge(key(tokens=10), {})
        await charge.take_tokens(1)
        await asyncio.to_thread(redis_server.stop)
        await charge.settle(5)

    run(SecretStr(redis_server.url), use)


# --- over HTTP ----------------------------------------------------------------------------------------------


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


def _limits(response: httpx.Response) -> dict[str, str]:
    return {name: value for name, value in response.headers.items() if name.startswith("x-ratelimit-")}


def test_a_limited_key_is_told_what_is_left_on_every_answer(path: Path) -> None:
    limited = new_key(path, "search", requests_per_minute=3, tokens_per_minute=100)
    with api_over(StandInClient(), auth_file=path) as http:
        answered = ask(http, key=limited, input=["x" * 40, "y"])
        failed = ask(http, key=limited, model="nothing")

    # 11 tokens were estimated, 6 were used.
    assert _limits(answered) == {
        "x-ratelimit-limit-requests": "3",
        "x-ratelimit-remaining-requests": "2",
        "x-ratelimit-reset-requests": "1m0s",
        "x-ratelimit-limit-tokens": "100",
        "x-ratelimit-remaining-tokens": "94",
        "x-ratelimit-reset-tokens": "1m0s",
    }
    check_error(failed, ErrorCode.MODEL_NOT_FOUND)
    assert failed.headers["x-ratelimit-remaining-requests"] == "1"


@pytest.mark.parametrize(
    ("status", "units", "fields"),
    [
        (413, set(), {"input": "x" * 2000}),
        (400, {"requests"}, {"input": []}),
        (404, {"requests"}, {"model": "nothing"}),
        (413, {"requests"}, {"input": "x" * 800}),
        (400, {"requests", "tokens"}, {"dimensions": 3}),
    ],
    ids=["declared length", "contract", "model", "tokens of a minute", "what the model does not do"],
)
def test_a_refusal_tells_of_the_limits_that_were_looked_at_before_it(
    path: Path, status: int, units: set[str], fields: dict[str, Any]
) -> None:
    limited = new_key(path, "search", requests_per_minute=3, tokens_per_minute=100)
    with api_over(StandInClient(), auth_file=path, max_body_bytes=1024) as http:
        refused = ask(http, key=limited, **fields)

    assert refused.status_code == status
    assert {name.rpartition("-")[2] for name in _limits(refused)} == units


def test_beyond_its_limit_a_key_is_told_when_to_come_back_and_others_are_not(path: Path) -> None:
    limited = new_key(path, "search", requests_per_minute=1)
    free = new_key(path, "index")
    with api_over(StandInClient(), auth_file=path) as http:
        assert ask(http, key=limited).status_code == 200
        response = ask(http, key=limited)
        seconds = int(response.headers["retry-after"])

        error = check_error(response, ErrorCode.RATE_LIMIT_EXCEEDED, retry_after_seconds=seconds)
        assert 50 <= seconds <= 60
        assert f"try again in {seconds} s" in error["message"]
        assert response.headers["x-ratelimit-remaining-requests"] == "0"
        for _ in range(3):
            other = ask(http, key=free)
            assert other.status_code == 200
            assert _limits(other) == {}


def test_tokens_that_were_not_computed_through_our_fault_are_given_back(path: Path) -> None:
    limited = new_key(path, "search", tokens_per_minute=100)
    client = StandInClient()
    client.failure = RequestError(ErrorCode.TIMEOUT, "no reply")
    said: dict[str, Any] = {"input": "x" * 80}
    with api_over(client, auth_file=path) as http:
        ours = ask(http, key=limited, **said)
        client.failure = RequestError(ErrorCode.CONTEXT_LENGTH_EXCEEDED, "too long")
        theirs = ask(http, key=limited, **said)

    assert ours.headers["x-ratelimit-remaining-tokens"] == "100"
    assert theirs.headers["x-ratelimit-remaining-tokens"] == "80"


def test_a_request_whose_answer_finds_no_room_gets_its_tokens_back(path: Path) -> None:
    limited = new_key(path, "search", tokens_per_minute=100)
    admission = Admission(UNDECLARED_BYTES + 2000, 10**9)
    with api_over(StandInClient(), admission, auth_file=path) as http, admission.admit(None):
        refused = ask(http, key=limited, input=["x"] * 90)

    check_error(refused, ErrorCode.OVERLOADED)
    assert refused.headers["x-ratelimit-remaining-tokens"] == "100"


def test_without_its_redis_an_api_says_that_it_is_unavailable(path: Path) -> None:
    limited = new_key(path, "search", requests_per_minute=1)
    with api_over(StandInClient(), auth_file=path, rate_limit_storage="redis://127.0.0.1:1/0") as http:
        check_error(ask(http, key=limited), ErrorCode.UNAVAILABLE)
        assert http.get("/v1/models").status_code == 200


def test_two_apis_over_one_redis_count_a_key_together(
    new_stack: Stack, redis_server: RedisServer, path: Path
) -> None:
    limited, free = new_key(path, "search", requests_per_minute=4), new_key(path, "index")
    storage = {"KAFKA_EMBEDDINGS_RATE_LIMIT_STORAGE": redis_server.url}
    apis = [new_stack.start_api("--auth", str(path), environment=storage) for _ in range(2)]
    new_stack.start_worker("--encoder", "null")
    for api in apis:
        api.wait_until_ready()

    answers = [ask(api.http, key=limited) for api in (*apis, *apis)]

    assert [answer.status_code for answer in answers] == [200] * 4
    assert [_limits(answer)["x-ratelimit-remaining-requests"] for answer in answers] == ["3", "2", "1", "0"]
    for api in apis:
        refused = ask(api.http, key=limited)
        after = int(refused.headers["retry-after"])
        check_error(refused, ErrorCode.RATE_LIMIT_EXCEEDED, retry_after_seconds=after)
        assert ask(api.http, key=free).status_code == 200
    redis_server.stop()
    for api in apis:
        check_error(ask(api.http, key=limited), ErrorCode.UNAVAILABLE)
        assert ask(api.http, key=free).status_code == 200
