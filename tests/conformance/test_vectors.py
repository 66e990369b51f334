"""Cases 1 to 9, 11, 15, 24, 34 and 35: what vectors come back."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pytest

from .models import DEFAULT, DIM, MODELS, RANGES, ROLES, SHORTER, F, M, S, body_of
from .service import cosine

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .service import Answer, Service

pytestmark = [pytest.mark.model, pytest.mark.slow]

_ROLES_AND_NONE: Final[list[dict[str, str]]] = [*({"input_type": role} for role in ROLES), {}]
TEXT = "how does a consumer find its broker"


@pytest.mark.parametrize("model", MODELS)
def test_case_1_a_unit_vector_of_the_models_length_and_its_tokens(service: Service, model: str) -> None:
    reference = service.references[model]
    answer = service.ok(body_of(model, "a", input_type="query"))
    assert answer.vector.shape == (reference.dim,)
    assert np.linalg.norm(answer.vector) == pytest.approx(1, abs=1e-3)
    assert answer.tokens == reference.tokens("a", "query")
    assert cosine(answer.vector, reference.vector("a", "query")) > 0.9999


@pytest.mark.parametrize("model", MODELS)
def test_case_2_a_list_is_answered_in_its_order(service: Service, model: str) -> None:
    texts = ["a", "the broker keeps 5 MiB", "c d e f g"]
    role = {"input_type": "passage"}
    together = service.ok(body_of(model, texts, **role))
    alone = [service.ok(body_of(model, text, **role)) for text in texts]
    assert min(map(cosine, together.vectors, [one.vector for one in alone])) >= 0.999
    assert together.tokens == sum(one.tokens for one in alone)


def test_case_3_roles_differ_where_the_model_knows_them(service: Service) -> None:
    vectors = {
        (model, role): service.ok(body_of(model, TEXT, input_type=role)).vector for model in MODELS for role in ROLES
    }
    for model in (M, F):
        assert cosine(vectors[model, "query"], vectors[model, "passage"]) < 0.99
    for model in (S, DEFAULT):
        assert np.array_equal(vectors[model, "query"], vectors[model, "passage"])
    for (model, role), vector in vectors.items():
        assert cosine(vector, service.references[model].vector(TEXT, role)) > 0.9999


def test_case_3_the_roles_of_a_model_with_prompts_are_those_of_its_encode_query_and_encode_document(
    service: Service,
) -> None:
    own = service.references[F].model
    query, passage, neither = (service.ok(body_of(F, TEXT, **role)).vector for role in _ROLES_AND_NONE)
    assert cosine(query, own.encode_query(TEXT)) > 0.9999
    assert cosine(passage, own.encode_document(TEXT)) > 0.9999
    assert cosine(neither, own.encode(TEXT)) > 0.9999


@pytest.mark.parametrize("name", [M, "matryoshka"])
@pytest.mark.parametrize("role", ["query", "passage"])
def test_case_4_the_role_may_be_a_suffix_of_the_name(service: Service, name: str, role: str) -> None:
    by_suffix = service.ok(body_of(f"{name}-{role}", TEXT))
    by_field = service.ok(body_of(M, TEXT, input_type=role))
    assert np.array_equal(by_suffix.vector, by_field.vector)
    assert by_suffix.tokens == by_field.tokens


def test_case_5_the_field_wins_over_the_suffix(service: Service) -> None:
    both = service.ok(body_of(f"{M}-query", TEXT, input_type="passage"))
    assert np.array_equal(both.vector, service.ok(body_of(M, TEXT, input_type="passage")).vector)


def test_case_7_a_symmetric_model_takes_a_role(service: Service) -> None:
    with_role = service.ok(body_of(S, TEXT, input_type="query"))
    assert np.array_equal(with_role.vector, service.ok(body_of(S, TEXT)).vector)


@pytest.mark.parametrize("model", MODELS)
def test_case_8_base64_is_little_endian_float32_of_the_same_numbers(service: Service, model: str) -> None:
    body = body_of(model, [TEXT, "b"], input_type="passage")
    numbers = service.ok(body)
    decoded = service.ok(body | {"encoding_format": "base64"}).decoded()
    assert all(isinstance(number, float) for number in numbers.fields["data"][0]["embedding"])
    assert np.abs(decoded - numbers.vectors).max() <= 1e-6


def test_case_9_null_is_the_default_encoding(service: Service) -> None:
    assert service.ok(body_of(F, TEXT, encoding_format=None)).vector.shape == (DIM,)


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("model", MODELS)
def test_case_11_truncation_leaves_exactly_the_limit(service: Service, model: str, role: str) -> None:
    reference = service.references[model]
    kept = reference.text_of(reference.limit, role)
    head = service.ok(body_of(model, f"{kept} offset lag topic", truncate="END", input_type=role))
    tail = service.ok(body_of(model, f"offset lag topic {kept}", truncate="START", input_type=role))
    for answer in (head, tail):
        assert answer.tokens == reference.limit
        assert cosine(answer.vector, reference.vector(kept, role)) > 0.9999


@pytest.mark.parametrize("dim", [*SHORTER, DIM])
def test_case_15_fewer_dimensions_are_the_beginning_normalised_again(service: Service, dim: int) -> None:
    cut = service.ok(body_of(M, TEXT, input_type="query", dimensions=dim)).vector
    whole = service.ok(body_of(M, TEXT, input_type="query")).vector
    assert cut.shape == (dim,)
    assert np.linalg.norm(cut) == pytest.approx(1, abs=1e-3)
    assert np.allclose(cut, whole[:dim] / np.linalg.norm(whole[:dim]), atol=1e-5)


def test_case_24_as_many_as_2048_texts_in_their_order(service: Service) -> None:
    texts = [f"text {number % 97}" for number in range(2048)]
    answer = service.ok(body_of(S, texts, encoding_format="base64"))
    rows = answer.decoded()
    single = service.ok(body_of(S, texts[:97])).vectors
    assert np.allclose(rows, single[np.arange(2048) % 97], atol=1e-4)


@pytest.mark.parametrize("model", [M, S, DEFAULT])
def test_case_34_a_bit_a_dimension(service: Service, model: str) -> None:
    body = body_of(model, [TEXT, "b"], input_type="query")
    bits = np.packbits(service.ok(body).vectors > 0, axis=1)
    assert bits.shape == (2, service.references[model].dim // 8)
    for kind, dtype, expected in (("ubinary", "u1", bits), ("binary", "i1", bits.astype(int) - 128)):
        assert np.array_equal(service.ok(body | {"embedding_type": kind}).vectors, expected)
        packed = service.ok(body | {"embedding_type": kind, "encoding_format": "base64"}).decoded(dtype)
        assert np.array_equal(packed, expected)


def test_case_34_a_byte_a_dimension_by_fixed_ranges(service: Service) -> None:
    body = body_of(M, [TEXT, "b"], input_type="query")
    floats = service.ok(body | {"embedding_type": "float"}).vectors
    lowest, highest = RANGES
    places = np.clip((floats - lowest) / (highest - lowest) * 255, 0, 255)
    unsigned = service.ok(body | {"embedding_type": "uint8"}).vectors
    assert np.abs(unsigned - places).max() <= 1.01
    for kind, dtype, expected in (("uint8", "u1", unsigned), ("int8", "i1", unsigned - 128)):
        assert np.array_equal(service.ok(body | {"embedding_type": kind}).vectors, expected)
        packed = service.ok(body | {"embedding_type": kind, "encoding_format": "base64"}).decoded(dtype)
        assert np.array_equal(packed, expected)


@pytest.mark.parametrize("model", [S, DEFAULT])
def test_case_34_a_model_without_ranges_refuses_a_byte_a_dimension(service: Service, model: str) -> None:
    for kind in ("int8", "uint8"):
        assert service.refused(body_of(model, TEXT, embedding_type=kind))["param"] == "embedding_type"


def test_case_34_a_model_of_floats_refuses_the_others(service: Service) -> None:
    for kind in ("int8", "uint8", "binary", "ubinary"):
        error = service.refused(body_of(F, TEXT, embedding_type=kind))
        assert (error["param"], error["code"]) == ("embedding_type", "invalid_request")


# --- many callers -------------------------------------------------------------------------------------------------

_KINDS: Final = {
    M: ("float", "int8", "uint8", "binary", "ubinary"),
    F: ("float",),
    S: ("float", "binary", "ubinary"),
    DEFAULT: ("float", "binary", "ubinary"),
}
_LENGTHS: Final = {M: (None, *SHORTER, DIM), F: (None, DIM), S: (None, DIM + 1), DEFAULT: (None,)}
_DTYPES: Final = {"float": "<f4", "int8": "i1", "uint8": "u1", "binary": "i1", "ubinary": "u1"}


def _any_body(chance: random.Random, number: int) -> dict[str, Any]:
    """A request that is answered, with any of the fields that decide how."""
    model = chance.choice(MODELS)
    inputs: list[Any] = [
        f"caller {number} text {n} " + "word " * chance.randint(0, 20) for n in range(chance.randint(1, 5))
    ]
    if model == S and chance.random() < 0.5:
        inputs = [[chance.randint(4, 399) for _ in range(chance.randint(1, 40))] for _ in inputs]
    fields: dict[str, Any] = {
        "input_type": chance.choice(ROLES),
        "truncate": chance.choice(["START", "END"]),
        "encoding_format": chance.choice(["float", "base64", None]),
        "embedding_type": chance.choice(_KINDS[model]),
    }
    if fields["embedding_type"] not in ("int8", "uint8"):
        fields["dimensions"] = chance.choice(_LENGTHS[model])
    return body_of(model, inputs, **fields)


def test_case_35_concurrent_callers_each_get_their_own(service: Service) -> None:
    chance = random.Random(7)
    bodies = [_any_body(chance, number) for number in range(64)]
    alone = [service.ok(body) for body in bodies]
    with ThreadPoolExecutor(64) as callers:
        together = list(callers.map(service.ok, bodies))
    for body, one, other in zip(bodies, alone, together, strict=True):
        assert {**one.fields, "data": None} == {**other.fields, "data": None}
        _assert_alike(body, _rows(body, one), _rows(body, other))


def _rows(body: dict[str, Any], answer: Answer) -> NDArray[Any]:
    kind = body["embedding_type"]
    return answer.decoded(_DTYPES[kind]) if body["encoding_format"] == "base64" else answer.vectors


def _assert_alike(body: dict[str, Any], one: NDArray[Any], other: NDArray[Any]) -> None:
    """The same but for the last digits, which depend on the batch, and what these may tip over."""
    assert one.shape == other.shape
    kind = body["embedding_type"]
    if kind == "float":
        assert min(map(cosine, one, other)) > 0.9999
    elif kind.endswith("binary"):
        bits = (np.unpackbits(rows.astype(np.int16).view(np.uint8)) for rows in (one, other))
        assert np.count_nonzero(np.not_equal(*bits)) <= 1
    else:
        assert np.abs(one.astype(int) - other).max() <= 1
