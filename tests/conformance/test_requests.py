"""Cases 6, 7, 9, 10, 12 to 14, 16 to 23 and 36: what is refused, and in which words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from schemas.errors import ErrorCode
from tests.api.hybrid import check_error

from .models import DEFAULT, DIM, LIMIT, MODELS, F, M, S, body_of

if TYPE_CHECKING:
    from .service import Service

pytestmark = [pytest.mark.model, pytest.mark.slow]


def test_case_6_an_asymmetric_model_wants_a_role(service: Service) -> None:
    error = service.refused(body_of(M, "a"))
    assert error["message"] == "'input_type' parameter is required for asymmetric models"
    assert (error["code"], error["param"]) == ("input_type_required", "input_type")


@pytest.mark.parametrize("model", [M, S])
def test_case_7_another_role_names_the_allowed_ones(service: Service, model: str) -> None:
    error = service.refused(body_of(model, "a", input_type="document"))
    assert error["message"] == "'input_type' must be 'query' or 'passage', not \"document\""


def test_case_9_another_encoding_is_refused(service: Service) -> None:
    assert service.refused(body_of(F, "a", encoding_format="hex"))["param"] == "encoding_format"


@pytest.mark.parametrize("fields", [{}, {"truncate": "NONE"}, {"truncate": None}])
@pytest.mark.parametrize("model", MODELS)
def test_cases_10_and_12_over_the_limit_is_refused_and_the_limit_itself_is_not(
    service: Service, model: str, fields: dict[str, Any]
) -> None:
    reference = service.references[model]
    limit = reference.limit
    fits, is_over = (reference.text_of(tokens, "query") for tokens in (limit, limit + 1))
    assert service.ok(body_of(model, fits, input_type="query", **fields)).tokens == limit
    error = service.refused(body_of(model, is_over, input_type="query", **fields))
    assert error["code"] == "context_length_exceeded"
    assert f"maximum context length is {limit} tokens" in error["message"]
    for message in (error["message"], error["top"]):
        assert f"Input length {limit + 1} exceeds maximum allowed token size {limit}" in message


def test_case_13_one_long_text_refuses_its_whole_request_and_is_named(service: Service) -> None:
    long = service.references[S].text_of(LIMIT + 5)
    error = service.refused(body_of(S, ["a", "b", long, "c"]))
    assert (error["index"], "input[2]" in error["message"]) == (2, True)


@pytest.mark.parametrize("truncate", ["end", "RIGHT", 5])
def test_case_14_other_truncations_are_refused(service: Service, truncate: object) -> None:
    assert service.refused(body_of(F, "a", truncate=truncate))["param"] == "truncate"


def test_case_16_a_model_of_one_length_takes_that_one_only(service: Service) -> None:
    assert service.ok(body_of(F, "a", dimensions=DIM)).vector.shape == (DIM,)
    error = service.refused(body_of(F, "a", dimensions=256))
    assert error["message"] == "This model does not support 'dimensions', but a value of '256' was provided."


@pytest.mark.parametrize("dimensions", [0, -1, 1.5, "512"])
@pytest.mark.parametrize("model", [M, F, S])
def test_case_17_what_is_no_length_is_refused(service: Service, model: str, dimensions: object) -> None:
    assert service.refused(body_of(model, "a", input_type="query", dimensions=dimensions))["param"] == "dimensions"


def test_case_17_more_than_there_are_is_refused_or_clamped(service: Service) -> None:
    assert service.refused(body_of(M, "a", input_type="query", dimensions=DIM + 1))["param"] == "dimensions"
    assert service.ok(body_of(S, "a", dimensions=DIM + 1)).vector.shape == (DIM,)


@pytest.mark.parametrize(("given", "index"), [("", 0), (["a", ""], 1), ([], None)])
def test_case_18_empty_texts_are_refused_by_their_index(service: Service, given: object, index: int | None) -> None:
    error = service.refused({"model": F, "input": given})
    assert (error["param"], error["index"]) == ("input", index)


@pytest.mark.parametrize("body", [{}, {"input": None}, {"input": 5}, {"input": {}}, {"input": [None]}])
def test_case_19_what_is_no_text_is_refused(service: Service, body: dict[str, object]) -> None:
    assert service.refused({"model": F, **body})["param"] == "input"


def test_case_19_a_number_among_texts_is_named(service: Service) -> None:
    assert service.refused({"model": F, "input": ["a", 1]})["index"] == 1


@pytest.mark.parametrize("model", [M, F, DEFAULT])
@pytest.mark.parametrize("given", [[1, 2], [[1], [2]]])
def test_case_20_token_ids_are_refused_with_the_hint(service: Service, model: str, given: list[Any]) -> None:
    error = service.refused(body_of(model, given))
    assert "check_embedding_ctx_length=False" in error["message"]


def test_case_20_under_the_switch_they_are_the_models_own_vocabulary(service: Service) -> None:
    reference = service.references[S]
    texts = ["how does a consumer find its broker", "b"]
    by_ids = service.ok(body_of(S, [reference.ids(text) for text in texts]))
    by_text = service.ok(body_of(S, texts))
    assert np.allclose(by_ids.vectors, by_text.vectors, atol=1e-5)
    assert by_ids.tokens == by_text.tokens
    assert len(service.ok(body_of(S, reference.ids("b"))).fields["data"]) == 1
    error = service.refused(body_of(S, [[1], [5, 400]]))
    assert (error["index"], "vocabulary ends at 399" in error["message"]) == (1, True)
    assert service.refused(body_of(S, [[5] * (LIMIT + 1)]))["code"] == "context_length_exceeded"
    assert service.ok(body_of(S, [[5] * (LIMIT + 1)], truncate="END")).tokens == LIMIT


def test_case_21_the_model_must_be_named_and_known(service: Service) -> None:
    assert service.refused({"input": "a"})["param"] == "model"
    error = service.refused(body_of("org/none", "a"), status=404)
    assert (error["code"], error["param"]) == ("model_not_found", "model")


def test_case_22_unknown_fields_are_ignored(service: Service) -> None:
    assert service.ok(body_of(F, "a", later=1, user="u", modality="text")).vector.shape == (DIM,)


def test_an_image_is_refused(service: Service) -> None:
    assert service.refused(body_of(F, "a", modality="image"))["param"] == "modality"


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b'"a"', b"\xff", b'{"model": NaN}'])
def test_case_23_what_is_no_json_object_is_refused(service: Service, content: bytes) -> None:
    answer = service.http.post("/v1/embeddings", content=content)
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "invalid_request"
    assert answer.json()["message"] == "Your request cannot be validated, it is incorrect."


def test_case_23_too_large_a_body_is_refused(service: Service) -> None:
    answer = service.http.post("/v1/embeddings", json=body_of(F, "a" * 9 * 1024 * 1024))
    check_error(answer, ErrorCode.REQUEST_TOO_LARGE)


def test_case_24_more_than_2048_texts_are_refused(service: Service) -> None:
    assert "the limit is 2048" in service.refused(body_of(F, ["a"] * 2049))["message"]


@pytest.mark.parametrize("text", ["🦜 🏳️‍🌈", "שלום עולם", "a\0b", "\u202e\u0000", "ﷺ" * 20, " ", "\n"])
def test_case_36_any_text_is_embedded(service: Service, text: str) -> None:
    assert np.linalg.norm(service.ok(body_of(F, [text, "b"], truncate="END")).vectors[0]) == pytest.approx(
        1, abs=1e-3
    )


def test_case_36_a_lone_surrogate_is_refused(service: Service) -> None:
    answer = service.http.post("/v1/embeddings", content=b'{"model": "org/fixed", "input": "\\ud800"}')
    assert (answer.status_code, "lone surrogate" in answer.json()["error"]["message"]) == (400, True)
