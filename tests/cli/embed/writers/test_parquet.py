from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cli.embed.errors import OutputError
from cli.embed.writers import parquet as parquet_writer

from ..fakes import DIM, FakeEmbed, options, run, vector_of

if TYPE_CHECKING:
    from pathlib import Path

TYPED = {
    "price": pa.array([Decimal("1.10"), None, Decimal("3.30")] * 40, pa.decimal128(9, 2)),
    "when": pa.array([datetime(2024, 1, 1, tzinfo=UTC)] * 120, pa.timestamp("ns", "UTC")),
    "tags": pa.array([["a", "b"], [], None] * 40, pa.list_(pa.string())),
    "place": pa.array([{"lat": 1.5, "names": ["x"]}] * 120),
    "kind": pa.array(["x", "y", None] * 40).dictionary_encode(),
    "raw": pa.array([b"\xff\x00"] * 120),
    "embedding": pa.array([1] * 120, pa.int8()),
}


def parquet(path: Path, **columns: object) -> Path:
    pq.write_table(pa.table(columns), path, row_group_size=50)  # type: ignore[arg-type]
    return path


def test_parquet_to_parquet_keeps_every_column_and_its_type(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_writer, "_PART_ROWS", 40)
    texts = [f"BAD {n}" if n == 60 else f"text {n}" for n in range(120)]
    source = parquet(tmp_path / "in.parquet", id=list(range(120)), text=texts, **TYPED)
    summary = run(options(source, tmp_path / "out.parquet"), FakeEmbed(refuse="BAD"))
    got = pq.ParquetFile(tmp_path / "out.parquet").read()
    kept = [n for n in range(120) if n != 60]
    assert got.column("id").to_pylist() == [str(n) for n in kept]
    assert got.schema.field("embedding").type == pa.list_(pa.float32(), DIM)
    vectors = np.stack(got.column("embedding").to_numpy())
    assert np.array_equal(vectors, np.stack([vector_of(texts[n]) for n in kept]))
    for name, column in TYPED.items():
        out = got.column("input_embedding" if name == "embedding" else name)
        assert out.type == column.type
        assert out.to_pylist() == column.take(pa.array(kept)).to_pylist()
    assert (summary.embedded, summary.failed) == (119, 1)
    assert "text" not in got.schema.names


def test_parquet_to_jsonl_says_in_json_what_json_can(tmp_path: Path) -> None:
    source = parquet(tmp_path / "in.parquet", text=["t"] * 120, **TYPED)
    run(options(source, tmp_path / "out.jsonl"))
    first = orjson.loads((tmp_path / "out.jsonl").read_bytes().splitlines()[0])
    assert len(first.pop("embedding")) == DIM
    assert first == {
        "id": "1", "price": "1.10", "when": "2024-01-01T00:00:00+00:00", "tags": ["a", "b"], "kind": "x",
        "place": {"lat": 1.5, "names": ["x"]}, "raw": "/wA=", "input_embedding": 1,
    }  # fmt: skip


def test_metadata_that_is_not_utf8_is_a_bad_row_in_jsonl(tmp_path: Path) -> None:
    names = pa.array([b"ok", b"\xff"]).view(pa.string())
    source = parquet(tmp_path / "in.parquet", text=["a", "b"], name=names)
    summary = run(options(source, tmp_path / "out.jsonl"))
    assert (summary.embedded, summary.failed) == (1, 1)
    assert b"unwritable_row" in (tmp_path / "out.jsonl.errors.jsonl").read_bytes()


def test_json_lines_become_one_metadata_column_of_json(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_bytes(b'{"text":"a","x":1}\n{"text":"b","x":"s","embedding":[1]}\n{"text":"c"}')
    run(options(tmp_path / "in.jsonl", tmp_path / "out.parquet"))
    got = pq.ParquetFile(tmp_path / "out.parquet").read()
    assert got.schema.names == ["id", "embedding", "metadata"]
    assert got.column("metadata").to_pylist() == ['{"x":1}', '{"x":"s","embedding":[1]}', "{}"]


def test_csv_columns_are_string_columns(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_bytes(b"text,n,embedding\na,1,x\nb,,y\n")
    run(options(tmp_path / "in.csv", tmp_path / "out.parquet"))
    got = pq.ParquetFile(tmp_path / "out.parquet").read()
    assert got.select(["id", "n", "input_embedding"]).to_pylist() == [
        {"id": "1", "n": "1", "input_embedding": "x"},
        {"id": "2", "n": "", "input_embedding": "y"},
    ]


def test_a_renamed_column_that_meets_another_stops_the_run_before_it_starts(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_bytes(b"text,embedding,input_embedding\na,1,2\n")
    embed = FakeEmbed()
    with pytest.raises(OutputError, match="rename one in the input"):
        run(options(tmp_path / "in.csv", tmp_path / "out.parquet"), embed)
    assert (embed.bodies, len(list(tmp_path.iterdir()))) == ([], 1)


def test_an_output_without_rows_has_its_columns(tmp_path: Path) -> None:
    source = parquet(tmp_path / "in.parquet", text=pa.array([], pa.string()), n=pa.array([], pa.int8()))
    run(options(source, tmp_path / "out.parquet", dimensions=8))
    schema = pq.ParquetFile(tmp_path / "out.parquet").schema_arrow
    assert schema.names == ["id", "embedding", "n"]
    assert schema.field("embedding").type == pa.list_(pa.float32(), 8)
