"""`worker/tokenization.py`: texts become tokens, interactive ones first, and what is too long is refused whole."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from tokenizers import Tokenizer as RawTokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing

from schemas.errors import ErrorCode, RequestError
from schemas.topics import Lane
from worker import tokenization as tokenization_module
from worker.bounds import InFlight
from worker.encoder.fast_tokenizer import FastTokenizer
from worker.tokenization import Tokenization

from .fakes import WordTokenizer, an_item, error_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from schemas.requests import Truncate
    from worker.encoder.interface import Tokenizer, Tokens
    from worker.request import RequestInFlight
    from worker.scheduler import WaitingInput

WAIT_SECONDS = 10.0
MAX_TOKENS = 6


class Bench:
    """The stage, what it hands on, and the bounds it corrects."""

    def __init__(self, tokenizer: Tokenizer | None = None) -> None:
        self.tokenizer = tokenizer or WordTokenizer(MAX_TOKENS)
        self.in_flight = {lane: InFlight(1000, 1000) for lane in Lane}
        self.tokenized: list[list[WaitingInput]] = []
        self.failed: list[RequestInFlight] = []
        self._out = threading.Condition()
        self.stage = Tokenization(
            self.tokenizer, MAX_TOKENS, self.in_flight, on_tokenized=self._take, on_failed=self._refuse
        )

    def _take(self, inputs: list[WaitingInput]) -> None:
        with self._out:
            self.tokenized.append(inputs)
            self._out.notify_all()

    def _refuse(self, item: RequestInFlight) -> None:
        with self._out:
            self.failed.append(item)
            self._out.notify_all()

    @contextmanager
    def running(self, threads: int = 1) -> Iterator[None]:
        workers = [threading.Thread(target=self.stage.run, name=f"t{number}") for number in range(threads)]
        for worker in workers:
            worker.start()
        try:
            yield
        finally:
            self.stage.stop()
            for worker in workers:
                worker.join(WAIT_SECONDS)
        assert not any(worker.is_alive() for worker in workers)

    def wait_for(self, requests: int) -> None:
        with self._out:
            assert self._out.wait_for(lambda: len(self.tokenized) + len(self.failed) >= requests, WAIT_SECONDS)

    def tokenize(self, *items: RequestInFlight, threads: int = 1) -> None:
        self.stage.submit(list(items))
        with self.running(threads):
            self.wait_for(len(items))


@pytest.fixture
def bench() -> Bench:
    return Bench()


def ids(inputs: Sequence[WaitingInput]) -> list[list[int]]:
    return [list(waiting.ids) for waiting in inputs]


# --- what comes out ---------------------------------------------------------------------------------------


def test_the_inputs_of_a_request_come_out_together_in_order_and_counted(bench: Bench) -> None:
    item = an_item(["a bb", "ccc", "d d d"])
    item.remaining = 0
    bench.tokenize(item)
    [inputs] = bench.tokenized
    assert ids(inputs) == [[1, 2], [3], [1, 1, 1]]
    assert [(waiting.item, waiting.index, waiting.tokens) for waiting in inputs] == [
        (item, 0, 2),
        (item, 1, 1),
        (item, 2, 3),
    ]
    assert (item.prompt_tokens, item.remaining) == (6, 3)


def test_the_prefix_stands_in_front_of_every_input_and_counts(bench: Bench) -> None:
    item = an_item(["a", "b"], prefix="query: ")
    bench.tokenize(item)
    assert bench.tokenizer.calls == [["query: a", "query: b"]]
    assert item.prompt_tokens == 4


def test_what_is_in_flight_is_corrected_to_the_tokens_counted(bench: Bench) -> None:
    item = an_item(["a b c"])
    item.reservation = bench.in_flight[Lane.BULK].reserve(500, 7)
    bench.tokenize(item)
    assert (bench.in_flight[Lane.BULK].tokens, bench.in_flight[Lane.BULK].bytes) == (3, 7)
    assert bench.in_flight[Lane.INTERACTIVE].tokens == 0


# --- token ids ---------------------------------------------------------------------------------------------


def test_token_ids_are_read_as_given_without_a_prefix(bench: Bench) -> None:
    item = an_item([[5, 6], [7]], prefix="query: ")  # type: ignore[list-item]
    bench.tokenize(item, an_item(["a b"], request_id="text"))
    assert [ids(inputs) for inputs in bench.tokenized] == [[[5, 6], [7]], [[1, 1]]]
    assert item.prompt_tokens == 3
    assert bench.tokenizer.calls == [["a b"]]


@pytest.mark.parametrize(("truncate", "kept"), [("START", [2, 3, 4, 5, 6, 7]), ("END", [1, 2, 3, 4, 5, 6])])
def test_token_ids_lose_their_start_or_end_where_cutting_is_allowed(
    bench: Bench, truncate: str, kept: list[int]
) -> None:
    bench.tokenize(an_item([[1, 2, 3, 4, 5, 6, 7]], truncate=truncate))  # type: ignore[list-item]
    assert ids(bench.tokenized[0]) == [kept]


def test_too_many_token_ids_are_refused_with_their_number(bench: Bench) -> None:
    bench.tokenize(an_item([[1], [1] * 7]))  # type: ignore[list-item]
    assert "Input length 7 exceeds maximum allowed token size 6" in error_of(bench.failed[0]).message
    assert error_of(bench.failed[0]).index == 1


# --- too long ---------------------------------------------------------------------------------------------


def test_an_input_at_the_limit_is_fine_and_one_token_more_is_not(bench: Bench) -> None:
    bench.tokenize(an_item(["w " * MAX_TOKENS]), an_item(["w " * (MAX_TOKENS + 1)], request_id="long"))
    assert [len(inputs[0].ids) for inputs in bench.tokenized] == [MAX_TOKENS]
    assert [error_of(item).request_id for item in bench.failed] == ["long"]


def test_one_input_too_long_fails_the_whole_request_naming_the_first_at_fault(bench: Bench) -> None:
    item = an_item(["fine", "w " * 9, "w " * 12], metadata={"doc": 7})
    neighbour = an_item(["fine"], request_id="r2")
    bench.tokenize(item, neighbour)
    assert bench.failed == [item]
    assert [inputs[0].item for inputs in bench.tokenized] == [neighbour]
    error = error_of(item)
    assert (error.code, error.index, error.request_id, error.metadata) == (
        ErrorCode.CONTEXT_LENGTH_EXCEEDED,
        1,
        "r1",
        {"doc": 7},
    )
    assert "Input length 9 exceeds maximum allowed token size 6" in error.message


def test_a_prefix_can_make_an_input_too_long(bench: Bench) -> None:
    bench.tokenize(an_item(["w " * MAX_TOKENS], prefix="query: "))
    assert len(bench.failed) == 1


@pytest.mark.parametrize(("truncate", "kept"), [("START", [2, 3, 4, 5, 6, 7]), ("END", [1, 2, 3, 4, 5, 6])])
def test_where_cutting_is_allowed_an_input_loses_its_start_or_end(
    bench: Bench, truncate: str, kept: list[int]
) -> None:
    item = an_item([" ".join("w" * length for length in range(1, 8))], truncate=truncate)
    bench.tokenize(item)
    assert ids(bench.tokenized[0]) == [kept]
    assert item.prompt_tokens == MAX_TOKENS


def test_requests_of_one_chunk_are_cut_each_as_it_asks(bench: Bench) -> None:
    text = " ".join("w" * length for length in range(1, 8))
    bench.tokenize(*(an_item([text], request_id=how, truncate=how) for how in ("START", "NONE", "END")))
    assert len(bench.tokenizer.calls) == 1
    assert [ids(inputs) for inputs in bench.tokenized] == [[[2, 3, 4, 5, 6, 7]], [[1, 2, 3, 4, 5, 6]]]
    assert [error_of(item).request_id for item in bench.failed] == ["NONE"]


# --- order and chunks -------------------------------------------------------------------------------------


def test_interactive_requests_are_taken_first(bench: Bench) -> None:
    bulk = [an_item([f"bulk{number}"], request_id=f"b{number}") for number in range(3)]
    interactive = [an_item(["now"], request_id=f"i{number}", lane=Lane.INTERACTIVE) for number in range(3)]
    bench.tokenize(*bulk, *interactive)
    assert [inputs[0].item for inputs in bench.tokenized] == interactive + bulk
    assert bench.tokenizer.calls == [["now"] * 3, ["bulk0", "bulk1", "bulk2"]]


def test_under_a_flood_of_interactive_requests_every_fifth_chunk_is_bulk(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokenization_module, "_CHUNK_REQUESTS", 1)
    bulk = [an_item(["bulk"], request_id=f"b{number}") for number in range(3)]
    interactive = [an_item(["now"], request_id=f"i{number}", lane=Lane.INTERACTIVE) for number in range(12)]
    bench.tokenize(*bulk, *interactive)
    assert bench.tokenizer.calls == 3 * [*4 * [["now"]], ["bulk"]]


class HeldTokenizer(WordTokenizer):
    """Waits within its first call until released."""

    def __init__(self) -> None:
        super().__init__(MAX_TOKENS)
        self.entered, self.release = threading.Event(), threading.Event()

    def tokenize(
        self, texts: Sequence[str], truncations: Sequence[Truncate], prefixes: Sequence[int] | None = None
    ) -> list[Tokens]:
        self.entered.set()
        assert self.release.wait(WAIT_SECONDS)
        return super().tokenize(texts, truncations, prefixes)


def test_an_interactive_request_waits_for_the_chunk_under_way_and_for_nothing_else() -> None:
    tokenizer = HeldTokenizer()
    bench = Bench(tokenizer)
    with bench.running():
        bench.stage.submit([an_item(["first"])])
        assert tokenizer.entered.wait(WAIT_SECONDS)
        bench.stage.submit([an_item(["bulk"]) for _ in range(5)])
        bench.stage.submit([an_item(["now"], lane=Lane.INTERACTIVE)])
        tokenizer.release.set()
        bench.wait_for(7)
    assert tokenizer.calls == [["first"], ["now"], ["bulk"] * 5]


def test_two_threads_work_at_the_same_time() -> None:
    tokenizer = HeldTokenizer()
    bench = Bench(tokenizer)
    with bench.running(threads=2):
        bench.stage.submit([an_item(["held"])])
        assert tokenizer.entered.wait(WAIT_SECONDS)
        tokenizer.entered.clear()
        bench.stage.submit([an_item(["meanwhile"])])
        assert tokenizer.entered.wait(WAIT_SECONDS), "the second thread is at work while the first is held"
        tokenizer.release.set()
        bench.wait_for(2)
    assert tokenizer.threads == {"t0", "t1"}


def test_two_threads_lose_nothing_and_repeat_nothing() -> None:
    bench = Bench()
    items = [an_item(["a b", "c"], request_id=str(number), lane=list(Lane)[number % 2]) for number in range(1000)]
    with bench.running(threads=2):
        for start in range(0, len(items), 50):
            bench.stage.submit(items[start : start + 50])
        bench.wait_for(len(items))
    assert sorted(id(inputs[0].item) for inputs in bench.tokenized) == sorted(map(id, items))
    assert all(ids(inputs) == [[1, 1], [1]] for inputs in bench.tokenized)


def test_a_chunk_holds_a_limited_number_of_requests(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokenization_module, "_CHUNK_REQUESTS", 4)
    bench.tokenize(*(an_item(["a"], request_id=str(number)) for number in range(10)))
    assert [len(call) for call in bench.tokenizer.calls] == [4, 4, 2]


def test_a_chunk_holds_a_limited_number_of_characters_and_a_long_request_is_one_by_itself(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokenization_module, "_CHUNK_CHARACTERS", 200)
    small = [an_item(["s"], request_id=str(number)) for number in range(5)]
    large = an_item(["l" * 1000], request_id="large")
    bench.tokenize(small[0], small[1], large, *small[2:])
    assert [call[0][0] for call in bench.tokenizer.calls] == ["s", "l", "s"]
    assert [len(call) for call in bench.tokenizer.calls] == [2, 1, 3]


def test_a_stop_ends_every_thread_although_work_waits(bench: Bench) -> None:
    bench.stage.stop()
    bench.stage.submit([an_item()])
    with bench.running(threads=3):
        pass
    assert (bench.tokenized, bench.failed) == ([], [])


def test_what_a_tokenizer_dies_of_ends_the_thread_with_it() -> None:
    class Broken:
        def tokenize(self, *_: object) -> list[Tokens]:
            raise MemoryError

    bench = Bench(Broken())
    bench.stage.submit([an_item()])
    with pytest.raises(MemoryError):
        bench.stage.run()


# --- a real tokenizer -------------------------------------------------------------------------------------


def a_real_tokenizer() -> FastTokenizer:
    """Words `w0` to `w9`, with one special token at either end."""
    vocabulary = {"[CLS]": 0, "[SEP]": 1, "[UNK]": 2} | {f"w{number}": 3 + number for number in range(10)}
    raw = RawTokenizer(WordLevel(vocabulary, unk_token="[UNK]"))
    raw.pre_tokenizer = Whitespace()
    raw.post_processor = TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 0), ("[SEP]", 1)])
    return FastTokenizer(raw.to_str(), MAX_TOKENS)


def test_with_a_real_tokenizer_special_tokens_count_and_stay_when_the_text_is_cut() -> None:
    bench = Bench(a_real_tokenizer())
    at_limit, over = "w0 w1 w2 w3", "w0 w1 w2 w3 w4"
    bench.tokenize(
        an_item([at_limit]),
        an_item([over], request_id="none"),
        an_item([over], request_id="start", truncate="START"),
        an_item([over], request_id="end", truncate="END"),
    )
    assert [ids(inputs) for inputs in bench.tokenized] == [
        [[0, 3, 4, 5, 6, 1]],
        [[0, 4, 5, 6, 7, 1]],
        [[0, 3, 4, 5, 6, 1]],
    ]
    assert "Input length 7 exceeds" in error_of(bench.failed[0]).message


def test_a_text_of_nothing_but_spaces_is_its_special_tokens() -> None:
    bench = Bench(a_real_tokenizer())
    bench.tokenize(an_item(["   "]))
    assert ids(bench.tokenized[0]) == [[0, 1]]


def test_a_thread_for_interactive_requests_leaves_bulk_ones_alone(bench: Bench) -> None:
    bulk = an_item(["bulk"], request_id="b")
    interactive = an_item(["now"], request_id="i", lane=Lane.INTERACTIVE)
    bench.stage.submit([bulk, interactive])
    thread = threading.Thread(target=bench.stage.run, args=([Lane.INTERACTIVE],))
    thread.start()
    bench.wait_for(1)
    bench.stage.stop()
    thread.join(WAIT_SECONDS)

    assert not thread.is_alive()
    assert [inputs[0].item for inputs in bench.tokenized] == [interactive]


def test_a_response_that_will_not_fit_is_told_once_the_tokens_are_counted_and_nothing_is_computed(
    bench: Bench,
) -> None:
    counted: list[int] = []
    error = RequestError(ErrorCode.RESPONSE_TOO_LARGE, "no")

    def too_large(item: RequestInFlight) -> RequestError | None:
        counted.append(item.prompt_tokens)
        return error if item.prompt_tokens == 3 else None

    bench.stage._too_large = too_large
    fits, does_not = an_item(["one two"], request_id="fits"), an_item(["a", "b c"], request_id="does not")
    bench.tokenize(fits, does_not)
    assert counted == [2, 3]
    assert [[waiting.item for waiting in inputs] for inputs in bench.tokenized] == [[fits]]
    assert (bench.failed, does_not.error) == ([does_not], error)
