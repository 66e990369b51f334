"""`worker/encoder/fast_tokenizer.py`: the model's own tokens, cut by us."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING

import pytest
from tokenizers import Tokenizer as RawTokenizer

from schemas.requests import Truncate
from worker.encoder.fast_tokenizer import FastTokenizer

from .texts import varied_texts
from .tiny_models import ARCHITECTURES

if TYPE_CHECKING:
    from pathlib import Path

    from sentence_transformers import SentenceTransformer

    from worker.encoder.interface import Tokens

LIMIT = 256
CLS, SEP, PAD = 101, 102, 0


@pytest.fixture(scope="module")
def serialized(default_model_folder: Path) -> str:
    return (default_model_folder / "tokenizer.json").read_text()


@pytest.fixture(scope="module")
def tokenizer(serialized: str) -> FastTokenizer:
    return FastTokenizer(serialized, LIMIT)


def one(tokenizer: FastTokenizer, text: str, truncation: Truncate) -> Tokens:
    [tokens] = tokenizer.tokenize([text], [truncation])
    return tokens


def words(count: int) -> str:
    """A text of so many tokens, special ones not counted, no two neighbours alike."""
    return " ".join(("cat", "dog", "tree")[number % 3] for number in range(count))


def test_the_packaged_tokenizer_pads_and_cuts_by_itself_and_ours_does_neither(serialized: str) -> None:
    own = json.loads(serialized)
    assert own["truncation"]["max_length"] == 128
    assert own["padding"] is not None
    assert len(RawTokenizer.from_str(serialized).encode("cat").ids) > 3
    tokenizer = FastTokenizer(serialized, LIMIT)
    short, long = tokenizer.tokenize(["cat", words(1000)], [Truncate.NONE] * 2)
    assert (len(short.ids), len(long.ids)) == (3, 1002)
    assert PAD not in short.ids


def test_padding_and_cutting_put_into_a_tokenizer_are_taken_out_again(serialized: str) -> None:
    raw = RawTokenizer.from_str(serialized)
    raw.enable_padding(length=64, pad_id=PAD)
    raw.enable_truncation(8)
    assert len(FastTokenizer(raw.to_str(), LIMIT).tokenize([words(20)], [Truncate.NONE])[0].ids) == 22


@pytest.mark.parametrize("truncation", Truncate)
def test_a_text_of_exactly_the_limit_is_left_whole(tokenizer: FastTokenizer, truncation: Truncate) -> None:
    tokens = one(tokenizer, words(LIMIT - 2), truncation)
    assert (len(tokens.ids), tokens.length_before) == (LIMIT, LIMIT)
    assert (tokens.ids[0], tokens.ids[-1]) == (CLS, SEP)


def test_one_token_over_the_limit_is_left_too_long_where_cutting_is_not_allowed(tokenizer: FastTokenizer) -> None:
    tokens = one(tokenizer, words(LIMIT - 1), Truncate.NONE)
    assert (len(tokens.ids), tokens.length_before) == (LIMIT + 1, LIMIT + 1)


@pytest.mark.parametrize("over", [1, 2, 500])
def test_cut_at_its_end_a_text_keeps_its_head(tokenizer: FastTokenizer, over: int) -> None:
    whole = one(tokenizer, words(LIMIT - 2 + over), Truncate.NONE)
    tokens = one(tokenizer, words(LIMIT - 2 + over), Truncate.END)
    assert list(tokens.ids) == [CLS, *whole.ids[1 : LIMIT - 1], SEP]
    assert tokens.length_before == LIMIT + over


@pytest.mark.parametrize("over", [1, 2, 500])
def test_cut_at_its_start_a_text_keeps_its_tail(tokenizer: FastTokenizer, over: int) -> None:
    whole = one(tokenizer, words(LIMIT - 2 + over), Truncate.NONE)
    tokens = one(tokenizer, words(LIMIT - 2 + over), Truncate.START)
    assert list(tokens.ids) == [CLS, *whole.ids[-(LIMIT - 1) : -1], SEP]
    assert tokens.length_before == LIMIT + over


@pytest.mark.parametrize("truncation", [Truncate.START, Truncate.END])
def test_a_limit_of_special_tokens_alone_leaves_no_text(serialized: str, truncation: Truncate) -> None:
    assert list(one(FastTokenizer(serialized, 2), "cat dog", truncation).ids) == [CLS, SEP]


def test_each_text_of_a_call_is_cut_as_it_asks(tokenizer: FastTokenizer) -> None:
    text = words(LIMIT)
    together = tokenizer.tokenize([text] * 3, list(Truncate))
    assert together == [one(tokenizer, text, truncation) for truncation in Truncate]


def test_no_texts_give_no_tokens(tokenizer: FastTokenizer) -> None:
    assert tokenizer.tokenize([], []) == []


def test_several_threads_get_what_one_gets(tokenizer: FastTokenizer) -> None:
    texts = varied_texts(60)
    expected = tokenizer.tokenize(texts, [Truncate.END] * len(texts))
    results: list[list[Tokens]] = []

    def work() -> None:
        for _ in range(5):
            results.append(tokenizer.tokenize(texts, [Truncate.END] * len(texts)))  # noqa: PERF401

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [expected] * 15


@pytest.mark.model
def test_tokens_equal_those_of_sentence_transformers_text_for_text(
    reference: SentenceTransformer, tokenizer: FastTokenizer
) -> None:
    texts = varied_texts(400, seed=1)
    assert reference.max_seq_length == LIMIT
    ours = tokenizer.tokenize(texts, [Truncate.END] * len(texts))
    assert max(tokens.length_before for tokens in ours) > LIMIT
    for text, tokens in zip(texts, ours, strict=True):
        theirs = reference.preprocess([text])["input_ids"][0].tolist()
        assert list(tokens.ids) == theirs, text


# --- texts far over the limit -------------------------------------------------------------------------------


class CountingTokenizer(FastTokenizer):
    """Notes what is given to the tokenizer itself."""

    def __init__(self, serialized: str, max_tokens: int) -> None:
        super().__init__(serialized, max_tokens)
        self.clipped: list[str] = []

    def _clip(self, text: str, truncation: Truncate, prefix: int) -> str:
        self.clipped.append(super()._clip(text, truncation, prefix))
        return self.clipped[-1]


LONG_TEXTS = {
    "words": " ".join(f"{word} and {number}" for number, word in enumerate(varied_texts(300) * 10)),
    "few tokens a character": ("a" * 300 + " ") * 3000,
    "no white space": "word" * 20_000,
    "mostly white space": "x" + " " * 50_000 + "the end",
    "other scripts": "שלום עולם 你好世界 😀 " * 3000,
}


@pytest.mark.parametrize("truncation", [Truncate.START, Truncate.END])
@pytest.mark.parametrize("text", LONG_TEXTS.values(), ids=LONG_TEXTS)
def test_a_clipped_text_keeps_the_very_tokens_it_would_keep_whole(
    serialized: str, text: str, truncation: Truncate
) -> None:
    limit = 64
    raw = RawTokenizer.from_str(serialized)
    raw.no_padding()
    raw.no_truncation()
    whole = raw.encode(text, add_special_tokens=False).ids
    room = limit - 2
    kept = whole if len(whole) <= room else (whole[-room:] if truncation is Truncate.START else whole[:room])

    tokens = one(FastTokenizer(serialized, limit), text, truncation)

    assert list(tokens.ids)[1:-1] == kept


@pytest.mark.parametrize(
    "text", [LONG_TEXTS["words"], LONG_TEXTS["no white space"], "short"], ids=["words", "one word", "short"]
)
@pytest.mark.parametrize("prefix", ["query: ", "Instruct: find it\nQuery:", "q"])
def test_without_its_start_a_text_keeps_its_prefix_and_its_end(serialized: str, prefix: str, text: str) -> None:
    limit = 64
    tokenizer = FastTokenizer(serialized, limit)
    raw = RawTokenizer.from_str(serialized)
    raw.no_padding()
    raw.no_truncation()
    whole = raw.encode(prefix + text, add_special_tokens=False)
    in_prefix = sum(start < len(prefix.rstrip()) for start, _ in whole.offsets)
    room = limit - 2
    kept = whole.ids if len(whole) <= room else whole.ids[:in_prefix] + whole.ids[in_prefix - room :]

    [tokens] = tokenizer.tokenize([prefix + text], [Truncate.START], [len(prefix)])

    assert in_prefix
    assert list(tokens.ids)[1:-1] == kept
    assert len(tokens.ids) == min(limit, len(whole) + 2)


def test_only_the_part_that_can_be_kept_of_a_long_text_is_tokenized(serialized: str) -> None:
    tokenizer = CountingTokenizer(serialized, 64)
    for truncation in Truncate:
        assert len(one(tokenizer, LONG_TEXTS["words"], truncation).ids) >= 64
    assert len(LONG_TEXTS["words"]) > 50_000
    assert max(map(len, tokenizer.clipped)) <= 64 * 32


def test_a_long_text_is_too_long_although_only_a_part_of_it_is_read(serialized: str) -> None:
    tokens = one(FastTokenizer(serialized, 64), LONG_TEXTS["words"], Truncate.NONE)
    assert len(tokens.ids) > 64
    assert tokens.length_before > 64
    assert not tokens.is_counted
    assert one(FastTokenizer(serialized, 64), "word " * 100, Truncate.NONE).is_counted


@pytest.mark.parametrize("architecture", ["xlm-roberta", "qwen3"])
def test_a_token_that_takes_in_the_space_behind_a_prefix_goes_with_the_start_of_its_text(architecture: str) -> None:
    wrapped = ARCHITECTURES[architecture][1]()
    serialized = wrapped.backend_tokenizer.to_str()
    kept = RawTokenizer.from_str(serialized).encode("ask: offset offset")

    [tokens] = FastTokenizer(serialized, len(kept.ids)).tokenize(
        ["ask: lag offset offset"], [Truncate.START], [len("ask: ")]
    )

    assert list(tokens.ids) == kept.ids
