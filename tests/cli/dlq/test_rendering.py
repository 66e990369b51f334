"""`cli/dlq/rendering.py`: what callers sent harms no terminal and no program that reads the lines."""

from __future__ import annotations

import unicodedata

from hypothesis import given, settings
from hypothesis import strategies as st

from cli.dlq.rendering import bytes_as_json, in_one_line, printable, when


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=40) | st.text(max_size=20).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_no_bytes_reach_a_terminal_as_control_characters(raw: bytes) -> None:
    for text, allowed in ((printable(raw), "\n\t"), (in_one_line(raw), "")):
        assert [one for one in text if unicodedata.category(one).startswith("C") and one not in allowed] == []


def test_letters_of_any_script_are_shown_as_they_are_and_the_rest_as_escapes() -> None:
    assert printable("שלום 😀".encode()) == "שלום 😀"
    assert printable(b"\x1b[2J\xff") == "\\x1b[2J\\xff"
    assert printable(None) == "(null)"
    assert in_one_line(b"a\nb\tc") == "a\\nb\\tc"
    assert in_one_line(b"x" * 100) == "x" * 39 + "…"


def test_bytes_are_text_in_json_where_they_can_be() -> None:
    assert bytes_as_json("key", None) == {"key": None}
    assert bytes_as_json("key", b"") == {"key": ""}
    assert bytes_as_json("key", b"\xff") == {"key_base64": "/w=="}


def test_a_message_without_a_time_has_none() -> None:
    assert (when(-1), when(0)) == ("unknown", "1970-01-01T00:00:00Z")
