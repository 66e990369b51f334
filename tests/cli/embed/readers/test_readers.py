from __future__ import annotations

import csv
import io
import tempfile
import tracemalloc
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cli.embed.errors import InputError
from cli.embed.readers.selection import open_reader
from cli.embed.rows import BadRow, Row

from ..fakes import options

if TYPE_CHECKING:
    from cli.embed.rows import AnyRow


def read(path: Path, content: bytes | None = None, after: int = 0, **more: object) -> list[AnyRow]:
    if content is not None:
        path.write_bytes(content)
    return list(open_reader(options(path, Path("out.jsonl"), **more)).rows(after))


def shown(rows: list[AnyRow]) -> list[object]:
    """Text of good rows, number and reason of bad ones."""
    return [row.text if isinstance(row, Row) else (row.number, row.reason) for row in rows]


# --- text -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "texts"),
    [
        (b"", []),
        (b"a", ["a"]),
        (b"a\n", ["a"]),
        (b"a\nb", ["a", "b"]),
        (b"a\r\nb\r\n", ["a", "b"]),
        (b"\xef\xbb\xbfa\n", ["a"]),
        (b"\xef\xbb\xbf", []),
        (b"a\x00b\n", ["a\x00b"]),
        (b"a\rb\n", ["a\rb"]),
        ("ü\u2028x\n".encode(), ["ü\u2028x"]),
        (b" \n", [" "]),
        (b"\n", [(1, "the line is empty: a text needs at least one character")]),
        (b"a\xff\n", [(1, "not UTF-8: byte 0xff at position 1 (invalid start byte)")]),
        (b"\xed\xa0\x80\nb", [(1, "not UTF-8: byte 0xed at position 0 (invalid continuation byte)"), "b"]),
    ],
)
def test_text_lines(tmp_path: Path, content: bytes, texts: list[object]) -> None:
    path = tmp_path / "in.txt"
    assert shown(read(path, content)) == texts
    assert open_reader(options(path, Path("o.jsonl"))).count() == content.count(b"\n") + (
        bool(content) and not content.endswith(b"\n")
    )


def test_utf_16_is_an_error_that_names_the_conversion(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="iconv -f UTF-16"):
        read(tmp_path / "in.txt", "a\n".encode("utf-16"))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), min_size=1)))
def test_text_lines_come_back_as_they_were(texts: list[str]) -> None:
    texts = [text for text in texts if not text.startswith("\ufeff")]
    with tempfile.TemporaryDirectory() as folder:
        rows = read(Path(folder, "in.txt"), "".join(f"{text}\n" for text in texts).encode())
    assert shown(rows) == texts
    assert [row.number for row in rows] == list(range(1, len(texts) + 1))


def test_a_line_is_bounded_without_its_ending(tmp_path: Path) -> None:
    path = tmp_path / "in.txt"
    for ending in (b"\n", b"\r\n", b""):
        assert shown(read(path, b"12345" + ending, max_row_bytes=5)) == ["12345"]
        [row] = read(path, b"123456" + ending, max_row_bytes=5)
        assert isinstance(row, BadRow)
    rows = shown(read(path, b"x" * 100 + b"\nab\n" + b"y" * 6 + b"\nc", max_row_bytes=5))
    assert [row for row in rows if isinstance(row, str)] == ["ab", "c"]


def test_a_long_file_is_read_in_little_memory(tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_bytes(b"x" * 30_000_000 + b"\n" + b"line\n" * 10_000)
    tracemalloc.start()
    try:
        reader = open_reader(options(tmp_path / "in.txt", Path("o.jsonl"), max_row_bytes=100_000))
        assert sum(isinstance(row, Row) for row in reader.rows(0)) == 10_000
        assert tracemalloc.get_traced_memory()[1] < 3_000_000
    finally:
        tracemalloc.stop()


# --- JSONL ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"nope", "not valid JSON"),
        (b"[1]", "not an object"),
        (b'{"text":NaN}', "not valid JSON"),
        (b"{}", "'text' is missing: --field names another one"),
        (b'{"text":null}', "'text' is null"),
        (b'{"text":1}', "'text' is a number"),
        (b'{"text":["a"]}', "'text' is a list"),
        (b'{"text":""}', "'text' is empty"),
        (b'{"text":"\\ud800"}', "lone surrogate"),
        (b'{"text":"\xff"}', "not UTF-8: byte 0xff at position 9"),
        (b'{"text":"a","id":true}', "id field 'id' is a boolean"),
        (b'{"text":"a","id":1.5}', "id field 'id' is a number"),
        (b'{"text":"a","id":["x"]}', "id field 'id' is a list"),
    ],
)
def test_a_bad_json_line_says_why_and_the_next_one_follows(tmp_path: Path, line: bytes, reason: str) -> None:
    bad, good = read(tmp_path / "in.jsonl", line + b'\n{"text":"next"}\n')
    assert isinstance(bad, BadRow)
    assert reason in bad.reason
    assert (bad.number, bad.line, shown([good]), good.number) == (1, 1, ["next"], 2)


def test_ids_are_strings_integers_or_the_line_number(tmp_path: Path) -> None:
    content = b'{"text":"a","id":"x"}\r\n\r\n{"text":"b","id":12}\n{"text":"c","id":null}\n{"text":"d"}'
    rows = read(tmp_path / "in.jsonl", b"\xef\xbb\xbf" + content)
    assert [row.id for row in rows] == ["x", "12", "4", "5"]


def test_an_id_field_asked_for_by_name_must_be_there(tmp_path: Path) -> None:
    rows = read(tmp_path / "in.jsonl", b'{"text":"a","key":"k"}\n{"text":"b","id":"x"}\n', id_field="key")
    assert [row.id for row in rows] == ["k", None]
    assert isinstance(rows[1], BadRow)
    assert "'key' is missing" in rows[1].reason


def test_a_bad_row_keeps_its_id_where_it_has_one(tmp_path: Path) -> None:
    [row] = read(tmp_path / "in.jsonl", b'{"id":"x","text":""}')
    assert row.id == "x"


def test_field_and_id_may_be_the_same(tmp_path: Path) -> None:
    [row] = read(tmp_path / "in.jsonl", b'{"id":"x","n":1}', field="id")
    assert isinstance(row, Row)
    assert (row.id, row.text, row.metadata) == ("x", "x", {"n": 1})


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abü", max_size=3), inner, max_size=3),
    max_leaves=5,
)  # fmt: skip


@settings(max_examples=50, deadline=None)
@given(st.lists(st.dictionaries(st.text("abcü", min_size=1, max_size=3), json_values, max_size=3), max_size=8))
def test_metadata_is_untouched(rows: list[dict[str, object]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        content = b"\n".join(orjson.dumps(row | {"text": "t"}) for row in rows)
        got = read(Path(folder, "in.jsonl"), content)
    assert [row.metadata for row in got if isinstance(row, Row)] == rows


# --- CSV ------------------------------------------------------------------------------------------------


@settings(max_examples=100, deadline=None)
@given(
    rows=st.lists(
        st.lists(
            st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r"), max_size=8) | st.just('"\n,'),
            min_size=2,
            max_size=2,
        )
    ),
    ending=st.sampled_from(["\n", "\r\n"]),
    bom=st.booleans(),
)  # fmt: skip
def test_quoted_csv_comes_back_as_it_was(rows: list[list[str]], ending: str, bom: bool) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator=ending, quoting=csv.QUOTE_ALL)
    writer.writerows([["text", "other"], *([f"t{a}", b] for a, b in rows)])
    with tempfile.TemporaryDirectory() as folder:
        content = text.getvalue().encode("utf-8-sig" if bom else "utf-8")
        got = read(Path(folder, "in.csv"), content)
    assert [(row.text, row.metadata) for row in got if isinstance(row, Row)] == [
        (f"t{a}", {"other": b}) for a, b in rows
    ]
    assert [row.number for row in got] == list(range(1, len(rows) + 1))


def test_csv_rows_know_their_record_and_their_line(tmp_path: Path) -> None:
    rows = read(tmp_path / "in.csv", b'id,text\r\na,"one\r\ntwo"\r\n\r\n,b\x00\r\nc,d,e\r\nf,\r\ng,\xff\r\nh,z')
    assert [(row.number, row.line, row.id) for row in rows] == [
        (1, 2, "a"), (2, 5, "2"), (3, 6, None), (4, 7, "f"), (5, 8, None), (6, 9, "h")
    ]  # fmt: skip
    assert shown(rows) == [
        "one\r\ntwo",
        "b\x00",
        (3, "3 columns, the header has 2"),
        (4, "field 'text' is empty: a text needs at least one character"),
        (5, "not UTF-8: byte 0xff at position 0 (invalid start byte)"),
        "z",
    ]


def test_a_quote_never_closed_costs_its_own_line_only(tmp_path: Path) -> None:
    rows = read(tmp_path / "in.csv", b'text,n\na,1\n"b,2\nc,3\nd,4\n')
    assert shown(rows) == ["a", (2, "a quote is opened and never closed"), "c", "d"]
    assert [row.line for row in rows] == [2, 3, 4, 5]


def test_text_after_a_closing_quote_is_a_bad_row(tmp_path: Path) -> None:
    rows = read(tmp_path / "in.csv", b'text\n"a"b\nc\n')
    assert isinstance(rows[0], BadRow)
    assert "not valid CSV" in rows[0].reason
    assert shown(rows[1:]) == ["c"]


@pytest.mark.parametrize("long", ["x" * 200, "x\n" * 100, "x" * 200 + "\n", 'a""\n' * 60])
def test_a_record_over_the_limit_is_one_bad_row(tmp_path: Path, long: str) -> None:
    content = f'text,n\na,1\n"{long}",2\nb,3\n'.encode()
    rows = shown(read(tmp_path / "in.csv", content, max_row_bytes=100))
    assert rows == ["a", (2, "larger than 100 bytes: shorten the text or split the row"), "b"]


def test_a_csv_field_may_be_longer_than_the_modules_own_limit(tmp_path: Path) -> None:
    [row] = read(tmp_path / "in.csv", b"text\n" + b"x" * 1_000_000)
    assert isinstance(row, Row)
    assert len(row.text) == 1_000_000


@pytest.mark.parametrize(
    ("content", "more", "says"),
    [
        (b"a,b\n1,2\n", {}, "has no column 'text', only a, b: --field names one"),
        (b"text,b\n1,2\n", {"id_field": "key"}, "has no column 'key', only text, b: --id-field names one"),
        (b"text,b,b\n", {}, "two columns have one name"),
        (b"text,\xff\n", {}, "header cannot be read: not UTF-8"),
        (b'"text\n', {}, "header cannot be read: a quote is opened"),
    ],
)
def test_a_csv_header_that_does_not_fit_stops_the_run(
    tmp_path: Path, content: bytes, more: dict[str, object], says: str
) -> None:
    with pytest.raises(InputError, match=says):
        read(tmp_path / "in.csv", content, **more)


# --- Parquet --------------------------------------------------------------------------------------------


def write(path: Path, row_group_size: int = 3, **columns: object) -> Path:
    pq.write_table(pa.table(columns), path, row_group_size=row_group_size)  # type: ignore[arg-type]
    return path


def test_parquet_rows_carry_every_other_column(tmp_path: Path) -> None:
    columns = {
        "text": ["a", None, "", "d"],
        "id": [1, 2, 3, None],
        "when": [datetime(2024, 1, n) for n in range(1, 5)],  # noqa: DTZ001 - a naive timestamp is a type of its own
        "price": [Decimal("1.10")] * 4,
    }
    rows = read(write(tmp_path / "in.parquet", **columns))
    assert [row.id for row in rows] == ["1", "2", "3", "4"]
    assert shown(rows)[1:3] == [
        (2, "field 'text' is null, not a string"),
        (3, "field 'text' is empty: a text needs at least one character"),
    ]
    assert isinstance(rows[3], Row)
    assert dict(rows[3].metadata) == {"when": columns["when"][3], "price": Decimal("1.10")}


@pytest.mark.parametrize("kind", [pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string())])
def test_every_kind_of_text_column_is_read(tmp_path: Path, kind: pa.DataType) -> None:
    rows = read(write(tmp_path / "in.parquet", text=pa.array(["a", "b"], pa.string()).cast(kind)))
    assert shown(rows) == ["a", "b"]


def test_a_parquet_text_that_is_not_utf8_is_a_bad_row(tmp_path: Path) -> None:
    texts = pa.array([b"a", b"\xff", b"c"]).view(pa.string())
    rows = shown(read(write(tmp_path / "in.parquet", text=texts)))
    assert rows == ["a", (2, "not UTF-8: byte 0xff at position 0 (invalid start byte)"), "c"]


@pytest.mark.parametrize(
    ("columns", "more", "says"),
    [
        ({"a": ["x"]}, {}, "has no column 'text', only a"),
        ({"text": [1]}, {}, "column 'text' is int64, not text"),
        ({"text": ["a"], "id": [1.5]}, {}, "column 'id' is double, neither text nor integers"),
        ({"text": ["a"]}, {"id_field": "key"}, "has no column 'key'"),
    ],
)
def test_parquet_columns_that_do_not_fit_stop_the_run(
    tmp_path: Path, columns: dict[str, object], more: dict[str, object], says: str
) -> None:
    with pytest.raises(InputError, match=says):
        read(write(tmp_path / "in.parquet", **columns), **more)


def test_a_file_that_is_no_parquet_stops_the_run(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not a Parquet file"):
        read(tmp_path / "in.parquet", b"text\n")


# --- all ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["in.txt", "in.jsonl", "in.csv", "in.parquet"])
@pytest.mark.parametrize("after", [0, 1, 4, 7, 9, 10])
def test_reading_after_a_row_gives_the_rest(tmp_path: Path, name: str, after: int) -> None:
    path = tmp_path / name
    texts = [f"t{n}" for n in range(1, 11)]
    if name == "in.parquet":
        write(path, text=texts)
    else:
        lines = [f'{{"text":"{text}"}}' if name == "in.jsonl" else text for text in texts]
        path.write_text("\n".join((["text"] if name == "in.csv" else []) + lines))
    rows = read(path, after=after)
    assert shown(rows) == texts[after:]
    assert [row.number for row in rows] == list(range(after + 1, 11))
    assert open_reader(options(path, Path("o.jsonl"))).count() in (10, None)
