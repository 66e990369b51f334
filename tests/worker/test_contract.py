"""`worker/contract.py`: what a model does for a request, and what it does not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from schemas.errors import ErrorCode, RequestError
from schemas.requests import EmbeddingRequest, InputType
from worker.contract import Plan, plan, too_long

from .fakes import DIM, MODEL, a_card

if TYPE_CHECKING:
    from worker.encoder.interface import ModelCard

PREFIXES = {InputType.QUERY: "query: ", InputType.PASSAGE: "passage: "}
ASYMMETRIC = a_card(asymmetric=True, prefixes=PREFIXES)


def a_request(model: str = MODEL, **fields: object) -> EmbeddingRequest:
    return EmbeddingRequest.model_validate({"id": "r1", "model": model, "input": "text", **fields})


def refusal(request: EmbeddingRequest, card: ModelCard) -> RequestError:
    with pytest.raises(RequestError) as refused:
        plan(request, card)
    return refused.value


# --- names and roles --------------------------------------------------------------------------------------


def test_a_symmetric_model_takes_a_request_without_role() -> None:
    assert plan(a_request(), a_card()) == Plan(prefix="", dim=DIM)


@pytest.mark.parametrize("name", [MODEL, "org/a-model", "short"])
def test_a_model_answers_to_its_name_and_to_every_alias(name: str) -> None:
    assert plan(a_request(name), a_card(aliases=("org/a-model", "short"))).dim == DIM


@pytest.mark.parametrize("name", ["other", "A-Model", "a-model ", "a-model-queries", "-query", "a-model-query-query"])
def test_another_name_is_no_model_here_and_the_error_names_the_one_that_is(name: str) -> None:
    error = refusal(a_request(name), a_card())
    assert (error.code, error.param) == (ErrorCode.MODEL_NOT_FOUND, "model")
    assert repr(name) in error.message
    assert repr(MODEL) in error.message


@pytest.mark.parametrize("name", [MODEL, "short"])
@pytest.mark.parametrize(("suffix", "prefix"), [("-query", "query: "), ("-passage", "passage: ")])
def test_a_role_may_be_the_suffix_of_a_name_or_alias(name: str, suffix: str, prefix: str) -> None:
    card = a_card(aliases=("short",), asymmetric=True, prefixes=PREFIXES)
    assert plan(a_request(name + suffix), card).prefix == prefix


@pytest.mark.parametrize(("role", "prefix"), [("query", "query: "), ("passage", "passage: ")])
def test_a_role_may_be_the_field(role: str, prefix: str) -> None:
    assert plan(a_request(input_type=role), ASYMMETRIC).prefix == prefix


def test_the_field_wins_over_the_suffix() -> None:
    assert plan(a_request(f"{MODEL}-query", input_type="passage"), ASYMMETRIC).prefix == "passage: "
    assert plan(a_request(f"{MODEL}-passage", input_type="query"), ASYMMETRIC).prefix == "query: "


def test_a_model_whose_whole_name_ends_in_a_role_has_no_role_by_that() -> None:
    card = a_card(name="llm-query", asymmetric=True, prefixes=PREFIXES)
    assert refusal(a_request("llm-query"), card).code is ErrorCode.INPUT_TYPE_REQUIRED
    assert plan(a_request("llm-query", input_type="passage"), card).prefix == "passage: "
    assert plan(a_request("llm-query-query"), card).prefix == "query: "


def test_an_asymmetric_model_wants_a_role_in_the_words_clients_match() -> None:
    error = refusal(a_request(), ASYMMETRIC)
    assert (error.code, error.param) == (ErrorCode.INPUT_TYPE_REQUIRED, "input_type")
    assert error.message.startswith("'input_type' parameter is required for asymmetric models")


def test_a_symmetric_model_takes_a_role_and_uses_its_prefix_if_it_has_one() -> None:
    assert plan(a_request(input_type="query"), a_card()).prefix == ""
    assert plan(a_request(input_type="query"), a_card(prefixes=PREFIXES)).prefix == "query: "
    assert plan(a_request(), a_card(prefixes=PREFIXES)).prefix == ""


def test_a_role_without_a_prefix_of_its_own_puts_nothing_in_front() -> None:
    card = a_card(asymmetric=True, prefixes={InputType.QUERY: "query: "})
    assert plan(a_request(input_type="passage"), card).prefix == ""


# --- lengths of vectors -----------------------------------------------------------------------------------


@pytest.mark.parametrize("dimensions", [None, DIM])
def test_the_native_length_is_always_allowed(dimensions: int | None) -> None:
    assert plan(a_request(dimensions=dimensions), a_card()).dim == DIM
    assert plan(a_request(dimensions=dimensions), a_card(dimensions=(2, 3))).dim == DIM


def test_a_listed_length_is_allowed() -> None:
    assert plan(a_request(dimensions=2), a_card(dimensions=(2, 3))).dim == 2


def test_a_model_of_one_length_says_that_it_does_not_support_dimensions() -> None:
    error = refusal(a_request(dimensions=2), a_card())
    assert (error.code, error.param) == (ErrorCode.INVALID_REQUEST, "dimensions")
    assert error.message == "This model does not support 'dimensions', but a value of '2' was provided."


@pytest.mark.parametrize("dimensions", [1, 5, 65536])
def test_another_length_is_refused_and_the_error_lists_the_allowed_ones_in_order(dimensions: int) -> None:
    error = refusal(a_request(dimensions=dimensions), a_card(dimensions=(3, 2)))
    assert (error.code, error.param) == (ErrorCode.INVALID_REQUEST, "dimensions")
    assert f"one of 2, 3, 4, not {dimensions}" in error.message


# --- types ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fields", [{"embedding_type": "float"}, {"modality": "text"}, {"user": "somebody"}])
def test_what_says_the_default_changes_nothing(fields: dict[str, str]) -> None:
    assert plan(a_request(**fields), a_card()) == plan(a_request(), a_card())


@pytest.mark.parametrize("embedding_type", ["int8", "uint8", "binary", "ubinary"])
def test_numbers_of_another_type_are_refused(embedding_type: str) -> None:
    error = refusal(a_request(embedding_type=embedding_type), a_card())
    assert (error.code, error.param) == (ErrorCode.INVALID_REQUEST, "embedding_type")
    assert embedding_type in error.message


def test_images_are_refused() -> None:
    error = refusal(a_request(modality="image"), a_card())
    assert (error.code, error.param) == (ErrorCode.INVALID_REQUEST, "modality")


# --- too long ---------------------------------------------------------------------------------------------


def test_the_error_of_a_long_input_holds_both_phrases_clients_match_and_the_index() -> None:
    error = too_long(300, 256, 7)
    assert (error.code, error.param, error.index) == (ErrorCode.CONTEXT_LENGTH_EXCEEDED, "input", 7)
    assert "maximum context length is 256 tokens, however you requested 300 tokens" in error.message
    assert "Input length 300 exceeds maximum allowed token size 256" in error.message
    assert "input[7]" in error.message
