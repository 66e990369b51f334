from __future__ import annotations

import hmac
import os
from typing import TYPE_CHECKING, Any, NoReturn

import pytest
from structlog.testing import capture_logs

from api.authentication import KeyRing, bearer_key
from api.keys import new_key, revoke_key
from schemas.errors import ErrorCode, RequestError
from tests.stack.command import run_command
from tests.stack.stack import MODEL, Stack
from tests.stack.waiting import wait_until
from transport.errors import SettingsError

from .hybrid import check_error
from .stand_in import StandInClient, api_over, ask

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import httpx


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


# --- the file -----------------------------------------------------------------------------------------------


def test_a_key_is_found_by_all_of_it_and_nothing_else(path: Path) -> None:
    key = new_key(path, "search")
    new_key(path, "index")
    ring = KeyRing(path)

    found = ring.find(key)

    assert found is not None
    assert found.name == "search"
    for wrong in ("", key[:-1], key + "x", key.upper(), found.sha256, "ke-"):
        assert ring.find(wrong) is None


def test_a_key_is_compared_in_constant_time_with_every_entry(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [new_key(path, f"caller-{number}") for number in range(3)]
    compared: list[tuple[str, str]] = []

    def compare(one: str, other: str) -> bool:
        compared.append((one, other))
        return one == other

    monkeypatch.setattr(hmac, "compare_digest", compare)

    KeyRing(path).find(keys[0])

    assert len(compared) == 3


def test_a_new_key_counts_and_a_revoked_one_does_not_within_a_second(path: Path) -> None:
    first = new_key(path, "first")
    clock = Clock()
    ring = KeyRing(path, clock)
    second = new_key(path, "second")
    revoke_key(path, "first")

    clock.now = 0.9
    assert ring.find(first) is not None
    clock.now = 1.0

    assert ring.find(first) is None
    assert ring.find(second) is not None


def test_a_file_that_does_not_change_is_not_read_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = new_key(path, "search")
    clock = Clock()
    ring = KeyRing(path, clock)
    monkeypatch.setattr("api.authentication.read_keys", lambda _: pytest.fail("read again"))

    clock.now = 100

    assert ring.find(key) is not None


@pytest.mark.parametrize("broken", ["", "not JSON", None])
def test_a_file_that_breaks_leaves_the_last_good_one_in_force_and_one_error(path: Path, broken: str | None) -> None:
    key = new_key(path, "search")
    whole = path.read_text()
    clock = Clock()
    ring = KeyRing(path, clock)
    path.unlink()
    if broken is not None:
        path.write_text(broken)

    with capture_logs() as logged:
        for clock.now in (10.0, 20.0, 30.0):
            assert ring.find(key) is not None
        path.write_text(whole.replace('"search"', '"mended"'))
        clock.now = 40
        mended = ring.find(key)

    assert [(entry["event"], entry["log_level"]) for entry in logged] == [
        ("the file of keys is broken, the last good one stays in force", "error"),
        ("keys read again", "info"),
    ]
    assert str(path) in logged[0]["reason"]
    assert mended is not None
    assert mended.name == "mended"


def test_a_file_that_could_not_be_read_for_a_moment_is_read_when_it_can_be(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = new_key(path, "search")
    clock = Clock()
    ring = KeyRing(path, clock)
    revoke_key(path, "search")

    def fails(_: Path) -> NoReturn:
        raise SettingsError("cannot read the keys: Permission denied")

    with capture_logs() as logged:
        with monkeypatch.context() as broken:
            broken.setattr("api.authentication.read_keys", fails)
            for clock.now in (1.0, 2.0):
                assert ring.find(key) is not None
        clock.now = 3
        assert ring.find(key) is None

    assert [entry["log_level"] for entry in logged] == ["error", "info"]


def test_a_file_replaced_by_one_of_the_same_size_and_time_is_seen(path: Path) -> None:
    key = new_key(path, "search")
    clock = Clock()
    ring = KeyRing(path, clock)
    before = path.stat()
    other = path.with_name("other")
    other.write_text(path.read_text().replace('"search"', '"hcraes"'))
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(path)
    clock.now = 1

    found = ring.find(key)

    assert found is not None
    assert found.name == "hcraes"


def test_without_a_file_there_is_no_key_ring(path: Path) -> None:
    with pytest.raises(SettingsError, match="keys new"):
        KeyRing(path)


@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer  ", "Basic {key}", "{key}", "Bearer {key}x", "Bearer ké"]
)
def test_a_header_without_a_known_key_is_unauthorized(path: Path, header: str | None) -> None:
    key = new_key(path, "search")

    with pytest.raises(RequestError, match=r"^Unauthorized") as refused:
        bearer_key(KeyRing(path), None if header is None else header.format(key=key))

    assert refused.value.code is ErrorCode.INVALID_API_KEY
    assert key not in refused.value.message


@pytest.mark.parametrize("header", ["Bearer {key}", "bearer {key}", "BEARER   {key} "])
def test_a_header_with_a_known_key_names_its_entry(path: Path, header: str) -> None:
    key = new_key(path, "search")

    assert bearer_key(KeyRing(path), header.format(key=key)).name == "search"


# --- over HTTP ----------------------------------------------------------------------------------------------


@pytest.fixture
def guarded(path: Path) -> Iterator[tuple[httpx.Client, str]]:
    """An API that asks for keys, and one it knows."""
    key = new_key(path, "search")
    with api_over(StandInClient(), auth_file=path) as http:
        yield http, key


def test_with_a_file_of_keys_only_they_are_let_in(guarded: tuple[httpx.Client, str]) -> None:
    http, key = guarded

    assert ask(http, key=key).status_code == 200
    for wrong in (None, "ke-wrong", key[:-1]):
        response = ask(http, key=wrong)
        error = check_error(response, ErrorCode.INVALID_API_KEY)
        assert "Unauthorized" in response.json()["message"]
        assert "Unauthorized" in error["message"]
        assert response.headers["www-authenticate"] == "Bearer"


def test_a_caller_without_a_key_learns_nothing_of_its_body(guarded: tuple[httpx.Client, str]) -> None:
    check_error(guarded[0].post("/v1/embeddings", content=b"not JSON"), ErrorCode.INVALID_API_KEY)


@pytest.mark.parametrize(
    "path_",
    [
        "/v1/models",
        f"/v1/models/{MODEL}",
        "/v1/health/live",
        "/v1/health/ready",
        "/v1/metadata",
        "/v1/license",
        "/v1/manifest",
        "/v1/version",
        "/v1/metrics",
        "/metrics",
        "/openapi.json",
        "/docs",
    ],
)
def test_what_probes_and_operators_ask_stays_open(guarded: tuple[httpx.Client, str], path_: str) -> None:
    assert guarded[0].get(path_).status_code == 200


@pytest.mark.parametrize("key", [None, "**********", "anything"])
def test_without_a_file_of_keys_any_key_and_none_is_let_in(key: str | None) -> None:
    with api_over(StandInClient()) as http:
        assert ask(http, key=key).status_code == 200


# --- the command --------------------------------------------------------------------------------------------


def test_an_api_without_its_file_of_keys_ends_in_one_line_with_status_2(path: Path) -> None:
    status, command = run_command("api", "--port", "0", "--auth", str(path))

    assert status == 2, command.quote()
    [line] = command.own_lines
    assert line == (
        f"kafka-embeddings: no file of keys at {path}: make it with `kafka-embeddings keys new NAME --auth {path}`"
    )


def test_a_running_api_takes_a_new_key_drops_a_revoked_one_and_logs_neither_keys_nor_texts(
    new_stack: Stack, path: Path
) -> None:
    old = new_key(path, "old")
    api = new_stack.start_api("--auth", str(path), "--log-level", "debug")
    new_stack.start_worker("--encoder", "null", "--log-level", "debug")
    api.wait_until_ready()
    said: dict[str, Any] = {"input": "a text that nobody may read in a log"}
    assert ask(api.http, key=old, **said).status_code == 200

    new = new_key(path, "new")
    revoke_key(path, "old")
    wait_until(lambda: ask(api.http, key=new, **said).status_code == 200, "the new key in force")

    check_error(ask(api.http, key=old, **said), ErrorCode.INVALID_API_KEY)
    check_error(ask(api.http, key="ke-somebody-elses", **said), ErrorCode.INVALID_API_KEY)
    check_error(ask(api.http, key=new, input=[said["input"], 5]), ErrorCode.INVALID_REQUEST)
    logged = api.stderr + new_stack.worker.stderr
    assert '"keys read again"' in logged
    for secret in (old, new, "ke-somebody-elses", old[3:20], new[3:20], said["input"]):
        assert secret not in logged
