"""`schemas/served_model.py`: which model a name means, what it does for a request, and what it does not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from schemas.errors import ErrorCode, RequestError
from schemas.requests import EmbeddingRequest, EmbeddingType, InputType
from schemas.served_model import Plan, models_named, plan, too_long

from ..worker.fakes import DIM, MODEL, a_card

if TYPE_CHECKING:
    from worker.encoder.interface import ModelCard

QUERY, PASSAGE = InputType.QUERY, InputType.PASSAGE
ASYMMETRIC = a_card(asymmetric=True)


def a_request(model: str = MODEL, **fields: object) -> EmbeddingRequest:
    return EmbeddingRequest.model_validate({"id": "r1", "model": model, **{"input": "text"} | fields})


def refusal(request: EmbeddingRequest, card: ModelCard) -> RequestError:
    with pytest.raises(RequestError) as refused:
        plan(request, card)
    return refused.value


# --- names and roles --------------------------------------------------------------------------------------


def test_a_symmetric_model_takes_a_request_without_role() -> None:
    assert plan(a_request(), a_card()) == Plan(None, DIM, EmbeddingType.FLOAT)


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
@pytest.mark.parametrize(("suffix", "role"), [("-query", QUERY), ("-passage", PASSAGE)])
def test_a_role_may_be_the_suffix_of_a_name_or_alias(name: str, suffix: str, role: InputType) -> None:
    card = a_card(aliases=("short",), asymmetric=True)
    assert plan(a_request(name + suffix), card).role is role


@pytest.mark.parametrize("role", list(InputType))
def test_a_role_may_be_the_field(role: InputType) -> None:
    assert plan(a_request(input_type=role.value), ASYMMETRIC).role is role


def test_the_field_wins_over_the_suffix() -> None:
    assert plan(a_request(f"{MODEL}-query", input_type="passage"), ASYMMETRIC).role is PASSAGE
    assert plan(a_request(f"{MODEL}-passage", input_type="query"), ASYMMETRIC).role is QUERY


def test_a_model_whose_whole_name_ends_in_a_role_has_no_role_by_that() -> None:
    card = a_card(name="llm-query", asymmetric=True)
    assert refusal(a_request("llm-query"), card).code is ErrorCode.INPUT_TYPE_REQUIRED
    assert plan(a_request("llm-query", input_type="passage"), card).role is PASSAGE
    assert plan(a_request("llm-query-query"), card).role is QUERY


def test_an_asymmetric_model_wants_a_role_in_the_words_clients_match() -> None:
    error = refusal(a_request(), ASYMMETRIC)
    assert (error.code, error.param) == (ErrorCode.INPUT_TYPE_REQUIRED, "input_type")
    assert error.message == "'input_type' parameter is required for asymmetric models"


def test_a_symmetric_model_takes_a_role_though_it_needs_none() -> None:
    assert plan(a_request(input_type="query"), a_card()).role is QUERY
    assert plan(a_request(), a_card()).role is None


def test_a_name_that_ends_in_a_role_means_the_model_of_that_whole_name_before_any_other() -> None:
    base, whole = a_card(), a_card(name=f"{MODEL}-query")
    assert models_named(f"{MODEL}-query", [base, whole]) == [whole]
    assert models_named(f"{MODEL}-query", [base]) == [base]
    assert models_named(f"{MODEL}-query-query", [base, whole]) == [whole]
    assert models_named("other", [base, whole]) == []


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


@pytest.mark.parametrize("listed", [(), (2, 3)])
def test_where_dimensions_are_clamped_more_than_there_are_means_all_of_them(listed: tuple[int, ...]) -> None:
    card = a_card(dimensions=listed, clamp_dimensions=True)
    assert plan(a_request(dimensions=DIM + 1), card).dim == DIM
    assert refusal(a_request(dimensions=1), card).param == "dimensions"


# --- types ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fields", [{"embedding_type": "float"}, {"modality": "text"}, {"user": "somebody"}])
def test_what_says_the_default_changes_nothing(fields: dict[str, str]) -> None:
    assert plan(a_request(**fields), a_card()) == plan(a_request(), a_card())


@pytest.mark.parametrize("embedding_type", ["int8", "uint8", "binary", "ubinary"])
def test_numbers_of_another_type_are_refused(embedding_type: str) -> None:
    error = refusal(a_request(embedding_type=embedding_type), a_card())
    assert (error.code, error.param) == (ErrorCode.INVALID_REQUEST, "embedding_type")
    assert embedding_type in error.message
    assert "use 'float'" in error.message


@pytest.mark.parametrize("kind", list(EmbeddingType))
def test_a_listed_type_is_allowed(kind: EmbeddingType) -> None:
    card = a_card(dim=16, embedding_types=tuple(EmbeddingType))
    assert plan(a_request(embedding_type=kind.value), card) == Plan(None, 16, kind)


@pytest.mark.parametrize("kind", ["int8", "uint8"])
def test_ranges_hold_for_the_native_length_only(kind: str) -> None:
    card = a_card(dim=16, dimensions=(8,), embedding_types=tuple(EmbeddingType))
    error = refusal(a_request(embedding_type=kind, dimensions=8), card)
    assert (error.param, "leave 'dimensions' out" in error.message) == ("dimensions", True)


@pytest.mark.parametrize("kind", ["binary", "ubinary"])
def test_bits_are_packed_by_eight(kind: str) -> None:
    card = a_card(dim=16, dimensions=(8, 12), embedding_types=tuple(EmbeddingType))
    assert plan(a_request(embedding_type=kind, dimensions=8), card).dim == 8
    assert refusal(a_request(embedding_type=kind, dimensions=12), card).param == "embedding_type"


# --- token ids --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", [[1, 2], [[1], [2]]])
def test_token_ids_are_refused_with_the_hint_where_the_model_does_not_take_them(given: object) -> None:
    for card in (a_card(), ASYMMETRIC):
        error = refusal(a_request(input=given), card)
        assert (error.code, error.param, error.index) == (ErrorCode.INVALID_REQUEST, "input", 0)
        assert "check_embedding_ctx_length=False" in error.message


def test_token_ids_are_held_against_the_vocabulary() -> None:
    card = a_card(vocabulary=100)
    assert plan(a_request(input=[[0, 99], [5]]), card).dim == DIM
    error = refusal(a_request(input=[[0], [5, 100]]), card)
    assert (error.index, "token id 100" in error.message, "ends at 99" in error.message) == (1, True, True)


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
    assert "you requested at least 300 tokens" in too_long(300, 256, 7, is_counted=False).message
