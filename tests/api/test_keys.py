from __future__ import annotations

import base64
import hashlib
import json
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import TYPE_CHECKING

import pytest

from api.keys import new_key, read_keys, revoke_key
from transport.errors import SettingsError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


def test_a_key_is_32_random_bytes_behind_a_prefix_and_never_twice_the_same(path: Path) -> None:
    keys = {new_key(path, f"caller-{number}") for number in range(5)}

    assert len(keys) == 5
    for key in keys:
        assert key.startswith("ke-")
        assert len(base64.urlsafe_b64decode(key.removeprefix("ke-") + "=")) == 32


def test_the_file_holds_the_hash_of_a_key_and_not_the_key(path: Path) -> None:
    key = new_key(path, "search", requests_per_minute=60, tokens_per_minute=10_000)

    text = path.read_text()
    assert key not in text
    assert key.removeprefix("ke-") not in text
    [entry] = json.loads(text)["keys"]
    assert entry.keys() == {"name", "sha256", "created", "requests_per_minute", "tokens_per_minute"}
    assert entry["name"] == "search"
    assert entry["sha256"] == hashlib.sha256(key.encode()).hexdigest()
    assert (entry["requests_per_minute"], entry["tokens_per_minute"]) == (60, 10_000)


def test_a_new_file_may_be_read_by_its_owner_only(path: Path) -> None:
    new_key(path, "search")

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [one.name for one in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("mode", [0o640, 0o600, 0o444])
def test_a_file_that_is_replaced_keeps_its_mode_and_its_owner(
    path: Path, mode: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    new_key(path, "search")
    path.chmod(mode)
    before = path.stat()
    owners: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "fchown", lambda _, user, group: owners.append((user, group)))

    new_key(path, "index")
    revoke_key(path, "search")

    assert stat.S_IMODE(path.stat().st_mode) == mode
    assert owners == [(before.st_uid, before.st_gid)] * 2
    assert [one.name for one in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize(("mode", "is_written"), [(0o640, True), (0o600, False)])
def test_who_may_not_keep_the_owner_changes_the_file_only_where_its_group_can_still_read_it(
    path: Path, mode: int, is_written: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    new_key(path, "search")
    path.chmod(mode)
    group = path.stat().st_gid

    def fchown(_: int, user: int, to: int) -> None:
        if user != -1:
            raise PermissionError
        assert to == group

    monkeypatch.setattr(os, "fchown", fchown)
    with nullcontext() if is_written else pytest.raises(SettingsError, match="run this as its owner"):
        revoke_key(path, "search")

    assert len(read_keys(path)) == (0 if is_written else 1)
    assert [one.name for one in path.parent.iterdir()] == [path.name]


def test_keys_made_at_the_same_time_are_all_there(path: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda number: new_key(path, f"caller-{number}"), range(16)))

    assert {key.name for key in read_keys(path)} == {f"caller-{number}" for number in range(16)}


def test_a_revoked_key_is_gone_and_the_others_stay(path: Path) -> None:
    for name in ("search", "index"):
        new_key(path, name)

    revoke_key(path, "search")

    assert [key.name for key in read_keys(path)] == ["index"]


def test_a_link_to_the_file_stays_one(path: Path) -> None:
    link = path.with_name("link.json")
    new_key(path, "search")
    link.symlink_to(path)

    new_key(link, "index")

    assert link.is_symlink()
    assert [key.name for key in read_keys(path)] == ["search", "index"]


@pytest.mark.parametrize("name", ["", "two words", "-x", "x" * 65, "a\nb", "é"])
def test_a_name_that_would_spoil_a_list_is_refused(path: Path, name: str) -> None:
    with pytest.raises(SettingsError, match="name"):
        new_key(path, name)
    assert not path.exists()


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_below_1_is_refused(path: Path, limit: int) -> None:
    with pytest.raises(SettingsError, match="requests_per_minute"):
        new_key(path, "search", requests_per_minute=limit)


def test_a_name_is_taken_once(path: Path) -> None:
    new_key(path, "search")

    with pytest.raises(SettingsError, match="revoke it first"):
        new_key(path, "search")


def test_revoking_what_is_not_there_names_what_is(path: Path) -> None:
    new_key(path, "search")

    with pytest.raises(SettingsError, match="no key named nobody: its keys are search"):
        revoke_key(path, "nobody")


def test_a_missing_file_is_answered_with_the_command_that_makes_it(path: Path) -> None:
    with pytest.raises(SettingsError, match=rf"keys new NAME --auth {path}"):
        read_keys(path)


def test_a_folder_that_is_not_there_is_said_to_be(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="name a folder that is there"):
        new_key(tmp_path / "nowhere" / "keys.json", "search")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not JSON",
        "[]",
        '{"keys": [{"name": "a"}]}',
        '{"keys": [], "more": 1}',
        '{"keys": [{"name": "a", "sha256":',
    ],
)
def test_a_broken_file_is_refused_and_neither_repeated_nor_replaced(path: Path, text: str) -> None:
    path.write_text(text)

    with pytest.raises(SettingsError, match="is no file of keys"):
        new_key(path, "search")
    assert path.read_text() == text


def test_a_key_that_somebody_put_into_the_file_is_not_shown_in_the_complaint(path: Path) -> None:
    path.write_text('{"keys": [{"name": "a", "sha256": "ke-a-whole-key", "created": "2026-01-01T00:00:00Z"}]}')

    with pytest.raises(SettingsError) as refused:
        read_keys(path)
    assert "ke-a-whole-key" not in str(refused.value)
