from __future__ import annotations

import re
from typing import TYPE_CHECKING

from api.keys import digest, read_keys

if TYPE_CHECKING:
    from pathlib import Path

    from tests.stack.fixtures import RunHere


def test_a_key_is_shown_once_on_standard_output_and_nothing_beside_it(run_here: RunHere, tmp_path: Path) -> None:
    path = tmp_path / "keys.json"

    status, out, errors = run_here(
        "keys", "new", "search", "--auth", str(path), "--requests-per-minute", "60", "--tokens-per-minute", "5000"
    )

    assert status == 0, errors
    assert re.fullmatch(r"ke-[\w-]{43}\n", out)
    assert "cannot be shown again" in errors
    assert out.strip() not in errors
    [stored] = read_keys(path)
    assert stored.sha256 == digest(out.strip())
    assert (stored.requests_per_minute, stored.tokens_per_minute) == (60, 5000)


def test_the_list_shows_names_and_limits_and_no_hash(run_here: RunHere, tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    for flags in (["search", "--tokens-per-minute", "1000000"], ["index"]):
        run_here("keys", "new", *flags, "--auth", str(path))

    status, out, _ = run_here("keys", "list", "--auth", str(path))

    assert status == 0
    head, search, index = out.splitlines()
    assert head.split() == ["name", "created", "requests/min", "tokens/min"]
    assert re.fullmatch(r"search  \d{4}-\d\d-\d\d  no limit      1,000,000", search)
    assert re.fullmatch(r"index   \d{4}-\d\d-\d\d  no limit      no limit", index)
    assert not any(key.sha256[:8] in out for key in read_keys(path))


def test_a_revoked_key_is_gone_from_the_file(run_here: RunHere, tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    run_here("keys", "new", "search", "--auth", str(path))

    status, out, errors = run_here("keys", "revoke", "search", "--auth", str(path))

    assert (status, out, errors) == (0, "", "key search revoked\n")
    assert read_keys(path) == ()


def test_the_file_can_be_named_by_the_setting_of_the_api(run_here: RunHere, tmp_path: Path) -> None:
    path = tmp_path / "keys.json"

    status, _, errors = run_here("keys", "new", "search", KAFKA_EMBEDDINGS_AUTH_FILE=str(path))

    assert status == 0, errors
    assert [key.name for key in read_keys(path)] == ["search"]


def test_what_cannot_be_done_is_said_in_one_line_with_status_2(run_here: RunHere, tmp_path: Path) -> None:
    path = tmp_path / "keys.json"

    for arguments in (["list"], ["revoke", "search"], ["new", "two words"]):
        status, _, errors = run_here("keys", *arguments, "--auth", str(path))
        assert status == 2
        [line] = errors.splitlines()
        assert line.startswith("kafka-embeddings: ")
