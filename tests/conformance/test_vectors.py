"""Cases 1 to 9, 11, 15, 24, 34 and 35: what vectors come back."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from .models import DIM, LIMIT, PASSAGE, QUERY, RANGES, SHORTER, F, M, S, body_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .service import Service

pytestmark = [pytest.mark.model, pytest.mark.slow]

TEXT = "how does a consumer find its broker"
DEFAULT = "all-MiniLM-L6-v2"


def cosine(one: NDArray[Any], other: NDArray[Any]) -> float:
    return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))


def test_case_1_a_unit_vector_of_the_models_length_and_its_tokens(service: Service) -> None:
    answer = service.ok(body_of(M, "a", input_type="query"))
    assert answer.vector.shape == (DIM,)
    assert np.linalg.norm(answer.vector) == pytest.approx(1, abs=1e-3)
    assert answer.tokens == service.references[M].tokens("a", QUERY)
    assert cosine(answer.vector, service.references[M].vector("a", QUERY)) > 0.9999


@pytest.mark.parametrize("model", [M, F, S, DEFAULT])
def test_case_2_a_list_is_answered_in_its_order(service: Service, model: str) -> None:
    texts = ["a", "the broker keeps 5 MiB", "c d e f g"]
    role = {"input_type": "passage"}
    together = service.ok(body_of(model, texts, **role))
    alone = [service.ok(body_of(model, text, **role)) for text in texts]
    assert min(map(cosine, together.vectors, [one.vector for one in alone])) >= 0.999
    assert together.tokens == sum(one.tokens for one in alone)


def test_case_3_roles_differ_where_the_model_knows_them(service: Service) -> None:
    vectors = {
        (model, role): service.ok(body_of(model, TEXT, input_type=role)).vector
        for model in (M, S)
        for role in ("query", "passage")
    }
    assert cosine(vectors[M, "query"], vectors[M, "passage"]) < 0.99
    assert np.array_equal(vectors[S, "query"], vectors[S, "passage"])
    assert cosine(vectors[M, "passage"], service.references[M].vector(TEXT, PASSAGE)) > 0.9999
    assert cosine(vectors[S, "query"], service.references[S].vector(TEXT)) > 0.9999


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


@pytest.mark.parametrize("model", [F, DEFAULT])
def test_case_8_base64_is_little_endian_float32_of_the_same_numbers(service: Service, model: str) -> None:
    texts = [TEXT, "b"]
    numbers = service.ok(body_of(model, texts))
    decoded = service.ok(body_of(model, texts, encoding_format="base64")).decoded()
    assert all(isinstance(number, float) for number in numbers.fields["data"][0]["embedding"])
    assert np.abs(decoded - numbers.vectors).max() <= 1e-6


def test_case_9_null_is_the_default_encoding(service: Service) -> None:
    assert service.ok(body_of(F, TEXT, encoding_format=None)).vector.shape == (DIM,)


@pytest.mark.parametrize(("model", "role", "prefix"), [(M, "query", QUERY), (M, "passage", PASSAGE), (S, None, "")])
def test_case_11_truncation_leaves_exactly_the_limit(
    service: Service, model: str, role: str | None, prefix: str
) -> None:
    reference = service.references[model]
    kept = reference.text_of(LIMIT, prefix)
    fields = {} if role is None else {"input_type": role}
    head = service.ok(body_of(model, f"{kept} offset lag topic", truncate="END", **fields))
    tail = service.ok(body_of(model, f"offset lag topic {kept}", truncate="START", **fields))
    for answer in (head, tail):
        assert answer.tokens == LIMIT
        assert cosine(answer.vector, reference.vector(kept, prefix)) > 0.9999


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


def test_case_34_numbers_of_every_type_by_fixed_ranges(service: Service) -> None:
    body = body_of(M, [TEXT, "b"], input_type="query")
    floats = service.ok(body).vectors
    bits = np.packbits(floats > 0, axis=1)
    lowest, highest = RANGES
    places = np.clip((floats - lowest) / (highest - lowest) * 255, 0, 255)
    got = {
        kind: service.ok(body | {"embedding_type": kind}) for kind in ("int8", "uint8", "binary", "ubinary", "float")
    }
    assert np.array_equal(got["ubinary"].vectors, bits)
    assert np.array_equal(got["binary"].vectors, bits.astype(int) - 128)
    assert got["binary"].vectors.shape == (2, DIM // 8)
    assert np.abs(got["uint8"].vectors - places).max() <= 1.01
    assert np.array_equal(got["int8"].vectors, got["uint8"].vectors - 128)
    assert np.allclose(got["float"].vectors, floats, atol=1e-6)
    for kind, dtype in (("int8", "i1"), ("uint8", "u1"), ("binary", "i1"), ("ubinary", "u1")):
        packed = service.ok(body | {"embedding_type": kind, "encoding_format": "base64"}).decoded(dtype)
        assert np.array_equal(packed, got[kind].vectors)


def test_case_34_a_model_of_floats_refuses_the_others(service: Service) -> None:
    for kind in ("int8", "uint8", "binary", "ubinary"):
        error = service.refused(body_of(F, TEXT, embedding_type=kind))
        assert (error["param"], error["code"]) == ("embedding_type", "invalid_request")


def test_case_35_concurrent_callers_each_get_their_own(service: Service) -> None:
    chance = random.Random(7)
    bodies = []
    for number in range(64):
        model = chance.choice([M, F, S, DEFAULT])
        texts = [f"caller {number} text {n} " + "word " * chance.randint(0, 20) for n in range(chance.randint(1, 5))]
        role = chance.choice(["query", "passage"])
        bodies.append(body_of(model, texts, input_type=role, truncate="END"))
    alone = [service.ok(body).vectors for body in bodies]
    with ThreadPoolExecutor(64) as callers:
        together = [answer.vectors for answer in callers.map(service.ok, bodies)]
    for one, other in zip(alone, together, strict=True):
        assert one.shape == other.shape
        assert min(map(cosine, one, other)) > 0.9999
