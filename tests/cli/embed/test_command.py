from __future__ import annotations

import asyncio
import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import orjson
import pytest

from cli.embed import command, flow
from cli.embed.command import embed_file
from cli.embed.errors import EmbedderError, EmbedError, InputError, OutputError, ResumeError
from cli.embed.formats import STANDARD, InputFormat
from schemas.codec import Vectors
from schemas.errors import ErrorCode, RequestError
from schemas.requests import EmbeddingBody, InputType, Truncate

from .fakes import DIM, FakeEmbed, SilentProgress, options, run, vector_of


def write_jsonl(path: Path, rows: list[dict[str, object]]) -> Path:
    path.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    return path


def read_jsonl(path: Path) -> list[dict[str, object]]:
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]


@pytest.mark.parametrize("seed", range(4))
def test_rows_are_in_input_order_whatever_the_order_of_the_answers(tmp_path: Path, seed: int) -> None:
    rows = [{"id": f"r{n}", "text": f"text {n}", "n": n} for n in range(1500)]
    source = write_jsonl(tmp_path / "in.jsonl", rows)
    output = tmp_path / "out.jsonl"
    summary = run(options(source, output), FakeEmbed(seed=seed))
    got = read_jsonl(output)
    assert [(row["id"], row["n"]) for row in got] == [(row["id"], row["n"]) for row in rows]
    for row, given in zip(got, rows, strict=True):
        assert np.array_equal(np.array(row["embedding"], np.float32), vector_of(str(given["text"])))
    assert (summary.rows, summary.embedded, summary.failed, summary.resumed) == (1500, 1500, 0, 0)
    assert summary.tokens == 3000
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.jsonl", "out.jsonl"]


def test_metadata_is_passed_through_and_the_text_is_not(tmp_path: Path) -> None:
    row = {"id": 7, "text": "hello", "tags": ["a", {"b": None}], "score": 1.5, "größe": "ü"}
    source = write_jsonl(tmp_path / "in.jsonl", [row])
    run(options(source, tmp_path / "out.jsonl"))
    [got] = read_jsonl(tmp_path / "out.jsonl")
    assert len(got.pop("embedding")) == DIM  # type: ignore[arg-type]
    assert got == {"id": "7", "tags": ["a", {"b": None}], "score": 1.5, "größe": "ü"}


def test_our_fields_win_and_the_inputs_are_renamed(tmp_path: Path) -> None:
    source = write_jsonl(tmp_path / "in.jsonl", [{"id": "x", "key": "k", "text": "t", "embedding": [9]}])
    run(options(source, tmp_path / "out.jsonl", id_field="key"))
    [got] = read_jsonl(tmp_path / "out.jsonl")
    assert (got["id"], got["input_id"], got["input_embedding"]) == ("k", "x", [9])
    assert len(got["embedding"]) == DIM  # type: ignore[arg-type]


def test_a_row_whose_renamed_field_is_taken_is_an_error_and_the_rest_goes_on(tmp_path: Path) -> None:
    clash = {"text": "a", "embedding": 1, "input_embedding": 2}
    source = write_jsonl(tmp_path / "in.jsonl", [clash, {"text": "b"}])
    summary = run(options(source, tmp_path / "out.jsonl"))
    assert [row["id"] for row in read_jsonl(tmp_path / "out.jsonl")] == ["2"]
    [error] = read_jsonl(tmp_path / "out.jsonl.errors.jsonl")
    assert (error["row"], error["code"], summary.failed) == (1, "unwritable_row", 1)


def test_the_request_says_what_the_options_say(tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("a\nb\n")
    embed = FakeEmbed()
    run(options(tmp_path / "in.txt", tmp_path / "o.jsonl", input_type=InputType.PASSAGE, dimensions=4), embed)
    [body] = embed.bodies
    assert (body.model, body.input, body.input_type) == ("a-model", ["a", "b"], "passage")
    assert (body.truncate, body.dimensions) == (Truncate.END, 4)


def test_bad_lines_are_reported_with_their_numbers_and_the_rest_goes_on(tmp_path: Path) -> None:
    source = tmp_path / "in.jsonl"
    source.write_bytes(b'{"text":"one"}\nnot json\n\n{"text":""}\n{"text":"\\ud800"}\n\xff\n{"text":"two"}\n')
    progress = SilentProgress()
    summary = asyncio.run(embed_file(options(source, tmp_path / "out.jsonl"), FakeEmbed(), progress))
    assert [row["id"] for row in read_jsonl(tmp_path / "out.jsonl")] == ["1", "7"]
    errors = read_jsonl(tmp_path / "out.jsonl.errors.jsonl")
    assert [(error["row"], error["line"]) for error in errors] == [(2, 2), (4, 4), (5, 5), (6, 6)]
    assert [note.split(":")[0] for note in progress.notes] == ["row 2", "row 4", "row 5", "row 6"]
    assert (summary.embedded, summary.failed, progress.done, progress.failed) == (2, 4, 6, 4)
    assert (progress.total, progress.finished) == (6, True)


def test_progress_tells_what_is_answered_though_a_row_before_it_is_not(tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("".join(f"text {n}\n" for n in range(96)))
    others_told = asyncio.Event()

    class Watched(SilentProgress):
        def advance(self, texts: int, tokens: int, failed: int = 0) -> None:
            super().advance(texts, tokens, failed)
            if self.done == 64:
                others_told.set()

    async def embed(body: EmbeddingBody, request_id: str) -> Vectors:
        if "text 0" in body.inputs:
            await asyncio.wait_for(others_told.wait(), 10)
        return await FakeEmbed()(body, request_id)

    progress = Watched()
    asyncio.run(embed_file(options(tmp_path / "in.txt", tmp_path / "out.jsonl"), embed, progress))
    assert (progress.done, len(read_jsonl(tmp_path / "out.jsonl"))) == (96, 96)


def test_only_the_first_bad_rows_are_shown_one_by_one(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_bytes(b"no\n" * 100)
    progress = SilentProgress()
    asyncio.run(embed_file(options(tmp_path / "in.jsonl", tmp_path / "out.jsonl"), FakeEmbed(), progress))
    assert len(progress.notes) == 11
    assert "out.jsonl.errors.jsonl" in progress.notes[-1]
    assert len(read_jsonl(tmp_path / "out.jsonl.errors.jsonl")) == 100


def test_a_refused_row_is_an_error_and_its_neighbours_are_unharmed(tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("".join(f"{'BAD' if n % 7 == 0 else 'ok'} {n}\n" for n in range(100)))
    summary = run(options(tmp_path / "in.txt", tmp_path / "out.jsonl"), FakeEmbed(refuse="BAD"))
    good = [str(n + 1) for n in range(100) if n % 7]
    assert [row["id"] for row in read_jsonl(tmp_path / "out.jsonl")] == good
    errors = read_jsonl(tmp_path / "out.jsonl.errors.jsonl")
    assert [error["row"] for error in errors] == [n + 1 for n in range(0, 100, 7)]
    assert errors[0] == {
        "row": 1, "line": 1, "id": "1", "code": "context_length_exceeded", "message": "too long"
    }  # fmt: skip
    assert (summary.embedded, summary.failed) == (len(good), len(errors))


def test_an_embedder_that_fails_stops_the_run_and_names_resume(tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("".join(f"text {n}\n" for n in range(1000)))
    with pytest.raises(EmbedderError, match="no worker is there; --resume continues"):
        run(options(tmp_path / "in.txt", tmp_path / "out.jsonl"), FakeEmbed(fail_after=10))
    run(options(tmp_path / "in.txt", tmp_path / "out.jsonl", resume=True))
    assert [row["id"] for row in read_jsonl(tmp_path / "out.jsonl")] == [str(n + 1) for n in range(1000)]


def test_a_run_that_fails_at_once_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("a\n")
    for name in ("out.jsonl", "out.parquet"):
        with pytest.raises(EmbedderError):
            run(options(tmp_path / "in.txt", tmp_path / name), FakeEmbed(fail_after=0))
    assert [path.name for path in tmp_path.iterdir()] == ["in.txt"]


def test_an_unknown_model_stops_the_run_instead_of_failing_every_row(tmp_path: Path) -> None:
    async def embed(body: object, request_id: str) -> Vectors:
        raise RequestError(ErrorCode.MODEL_NOT_FOUND, "no model 'x': served are a, b", param="model")

    (tmp_path / "in.txt").write_text("a\nb\n")
    with pytest.raises(EmbedderError, match="no model 'x'"):
        asyncio.run(embed_file(options(tmp_path / "in.txt", tmp_path / "o.jsonl"), embed, SilentProgress()))


@pytest.mark.parametrize("output", ["out.jsonl", "out.parquet"])
@pytest.mark.parametrize("name", ["in.txt", "in.jsonl", "in.csv"])
def test_an_empty_input_gives_an_empty_output(tmp_path: Path, name: str, output: str) -> None:
    (tmp_path / name).write_bytes(b"")
    summary = run(options(tmp_path / name, tmp_path / output))
    assert summary.rows == 0
    assert (tmp_path / output).exists()
    assert len(list(tmp_path.iterdir())) == 2


def test_tasks_and_rows_in_flight_are_bounded(tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text(f"{'x' * 9000}\n" * 2000)
    embed = FakeEmbed()
    run(options(tmp_path / "in.txt", tmp_path / "out.jsonl"), embed)
    assert 1 < embed.most_in_flight <= flow.MAX_GROUPS


def test_text_too_large_for_a_row_is_an_error_and_the_rest_goes_on(tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_bytes(b"before\n" + b"x" * 10_000_000 + b"\nafter\n")
    run(options(tmp_path / "in.txt", tmp_path / "out.jsonl"))
    assert [row["id"] for row in read_jsonl(tmp_path / "out.jsonl")] == ["1", "3"]
    [error] = read_jsonl(tmp_path / "out.jsonl.errors.jsonl")
    assert error["row"] == 2
    assert "8388608 bytes" in str(error["message"])


def test_a_long_text_under_the_limit_is_a_request_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_bytes(b"a\n" + b"x" * 8_000_000 + b"\nb\n")
    embed = FakeEmbed()
    run(options(tmp_path / "in.txt", tmp_path / "out.jsonl"), embed)
    assert [len(body.inputs) for body in embed.bodies] == [1, 1, 1]


@pytest.mark.parametrize(
    ("given", "error", "says"),
    [
        ({"input_path": Path("missing.txt")}, InputError, "does not exist"),
        ({"input_path": Path()}, InputError, "is a directory"),
        ({"input_path": Path("in.xyz")}, InputError, "--format"),
        ({"input_path": Path("in.jsonl.gz")}, InputError, "decompress"),
        ({"output_path": Path("out.xyz")}, OutputError, "names no output format"),
        ({"output_path": Path("nowhere/out.jsonl")}, OutputError, "create it first"),
        ({"output_path": Path("there.jsonl")}, OutputError, "--force overwrites"),
        ({"output_path": Path("in.txt"), "format": InputFormat.TEXT}, OutputError, "names no output"),
        ({"input_path": Path("there.jsonl"), "output_path": Path("there.jsonl")}, OutputError, "input itself"),
        ({"errors_path": Path("out.jsonl")}, OutputError, "name two"),
        ({"dimensions": 0}, EmbedError, "--dimensions"),
        ({"resume": True, "force": True}, OutputError, "give one of them"),
        ({"resume": True, "output_path": STANDARD}, ResumeError, "pipe"),
        ({"resume": True, "output_path": Path("there.jsonl")}, OutputError, "it is complete"),
    ],
)
def test_a_mistake_is_one_line_that_names_the_next_move(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: dict[str, object], error: type, says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("in.txt", "in.xyz", "in.jsonl.gz", "there.jsonl"):
        Path(name).write_text("x\n")
    before = sorted(path.name for path in tmp_path.iterdir())
    paths = {"input_path": Path("in.txt"), "output_path": Path("out.jsonl")} | given
    with pytest.raises(error, match=says) as caught:
        run(options(paths.pop("input_path"), paths.pop("output_path"), **paths))  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_force_overwrites_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("a\n")
    for name in ("out.jsonl", "out.jsonl.errors.jsonl", "out.jsonl.progress"):
        (tmp_path / name).write_text("old")
    run(options(tmp_path / "in.txt", tmp_path / "out.jsonl", force=True))
    assert [row["id"] for row in read_jsonl(tmp_path / "out.jsonl")] == ["1"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.txt", "out.jsonl"]


def test_standard_output_is_jsonl_and_errors_go_beside_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in.txt").write_text("a\n\nb\n")
    run(options(Path("in.txt"), STANDARD))
    assert [orjson.loads(line)["id"] for line in capfdbinary.readouterr().out.splitlines()] == ["1", "3"]
    assert [error["row"] for error in read_jsonl(tmp_path / "in.txt.errors.jsonl")] == [2]


PIPED = """
import asyncio, sys
from pathlib import Path
from tests.cli.embed.fakes import FakeEmbed, SilentProgress, options
from cli.embed.command import embed_file
from cli.embed.errors import EmbedError
from cli.embed.formats import InputFormat
given = options(Path("-"), Path(sys.argv[1]), format=InputFormat(sys.argv[2]))
try:
    asyncio.run(embed_file(given, FakeEmbed(), SilentProgress()))
except EmbedError as error:
    sys.exit(f"EmbedError: {error}")
except (KeyboardInterrupt, asyncio.CancelledError):
    sys.exit(130)
"""


def piped(*arguments: str, stdin: bytes | int, stdout: int = subprocess.PIPE) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", PIPED, *arguments],
        stdin=subprocess.PIPE if isinstance(stdin, bytes) else stdin,
        stdout=stdout,
        stderr=subprocess.PIPE,
        cwd=Path(command.__file__).parents[2],
    )


def test_standard_input_is_read_as_the_format_says(tmp_path: Path) -> None:
    content = b'{"id":"a","text":"x"}\n{"id":"b","text":"y"}\n'
    process = piped(str(tmp_path / "out.jsonl"), "jsonl", stdin=content)
    _, errors = process.communicate(content, timeout=60)
    assert (process.returncode, errors) == (0, b"")
    assert [row["id"] for row in read_jsonl(tmp_path / "out.jsonl")] == ["a", "b"]


def test_parquet_from_a_pipe_is_refused(tmp_path: Path) -> None:
    process = piped(str(tmp_path / "out.jsonl"), "parquet", stdin=b"")
    _, errors = process.communicate(b"", timeout=60)
    assert b"EmbedError: Parquet cannot be read from a pipe" in errors


def test_ctrl_c_ends_a_run_whose_standard_input_is_silent(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    try:
        process = piped(str(tmp_path / "out.jsonl"), "text", stdin=reading)
        wait_until_exists(tmp_path / "out.jsonl", process)
        process.send_signal(2)
        _, errors = process.communicate(timeout=30)
        assert (process.returncode, errors) == (130, b"")
    finally:
        os.close(reading)
        os.close(writing)


def wait_until_exists(path: Path, process: subprocess.Popen[bytes]) -> None:
    """Poll for a file, until the process ends."""
    while not path.exists():
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.02)


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = "import sys, cli.embed; print([m for m in ('numpy', 'pydantic', 'pyarrow', 'rich') if m in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, timeout=60)
    assert shown.stdout == b"[]\n"


def test_jsonl_to_jsonl_does_not_import_pyarrow(tmp_path: Path) -> None:
    code = "import sys, cli.embed.command; print('pyarrow' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, timeout=60)
    assert shown.stdout == b"False\n"


@pytest.mark.parametrize("names", [("in.parquet", "o.jsonl"), ("in.txt", "o.parquet")])
def test_parquet_without_pyarrow_names_the_install_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: tuple[str, str]
) -> None:
    (tmp_path / names[0]).write_text("x\n")
    monkeypatch.setattr("cli.embed.arrow.find_spec", lambda name: None)
    with pytest.raises(EmbedError, match=r"pip install 'kafka-embeddings\[embed\]'"):
        run(options(tmp_path / names[0], tmp_path / names[1]))


def test_another_length_of_vectors_stops_the_run(tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("".join(f"text {n}\n" for n in range(400)))
    with pytest.raises(EmbedderError):
        run(options(tmp_path / "in.txt", tmp_path / "out.jsonl"), FakeEmbed(fail_after=3))
    with pytest.raises(EmbedderError, match="another model"):
        run(options(tmp_path / "in.txt", tmp_path / "out.jsonl", resume=True), FakeEmbed(dim=8))


def test_a_vector_that_is_not_finite_stops_the_run(tmp_path: Path) -> None:
    async def embed(body: object, request_id: str) -> Vectors:
        return Vectors(np.array([[np.nan]], np.float32), 1)

    (tmp_path / "in.txt").write_text("a\n")
    with pytest.raises(EmbedderError, match="NaN"):
        asyncio.run(embed_file(options(tmp_path / "in.txt", tmp_path / "o.jsonl"), embed, SilentProgress()))


def test_a_full_disk_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(io.BytesIO):
        def write(self, content: object) -> int:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr("cli.embed.destination.standard_output", Full)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in.txt").write_text("a\n")
    with pytest.raises(OutputError, match="No space left on device"):
        run(options(Path("in.txt"), STANDARD))
