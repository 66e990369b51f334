"""`worker/vector_cache.py`: vectors that outlive their batch, within a bound."""

from __future__ import annotations

from array import array

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.vector_cache import VectorCache, fingerprint

from .fakes import unit_vectors

DIM = 8
_ENTRY = DIM * 4 + 320


def test_what_was_put_is_there_read_only_and_in_float32() -> None:
    cache = VectorCache(10_000)
    (vector,) = unit_vectors(1, DIM)
    cache.put("key", vector)

    kept = cache.get("key")

    assert kept is not None
    np.testing.assert_array_equal(kept, vector)
    assert kept.dtype == np.float32
    with pytest.raises(ValueError, match="read-only"):
        kept[0] = 1
    assert cache.get("another") is None


def test_a_kept_row_does_not_hold_its_batch_nor_change_with_it() -> None:
    cache = VectorCache(10_000)
    batch = unit_vectors(3, DIM)
    cache.put("key", batch[1])
    before = batch[1].copy()
    batch[:] = 0

    kept = cache.get("key")

    assert kept is not None
    assert kept.base is None
    np.testing.assert_array_equal(kept, before)


def test_the_one_not_asked_for_the_longest_goes_first() -> None:
    cache = VectorCache(2 * _ENTRY)
    first, second, third = unit_vectors(3, DIM)
    cache.put("first", first)
    cache.put("second", second)
    cache.get("first")

    cache.put("third", third)

    assert cache.get("second") is None
    assert cache.get("first") is not None
    assert cache.get("third") is not None


def test_a_vector_larger_than_the_bound_is_not_kept_and_drives_nothing_out() -> None:
    cache = VectorCache(_ENTRY)
    cache.put("small", unit_vectors(1, DIM)[0])

    cache.put("large", unit_vectors(1, DIM * 2)[0])

    assert (cache.get("large"), len(cache)) == (None, 1)


@given(
    bound=st.integers(0, 5000),
    puts=st.lists(st.tuples(st.integers(0, 9), st.integers(1, 64)), max_size=60),
)
def test_it_never_holds_more_than_its_bound_and_counts_what_it_holds(bound: int, puts: list[tuple[int, int]]) -> None:
    cache = VectorCache(bound)
    for key, dim in puts:
        cache.put(key, np.ones(dim, dtype=np.float32))
        assert cache.bytes <= bound
    held = [vector for key in range(10) if (vector := cache.get(key)) is not None]
    assert len(held) == len(cache)
    assert cache.bytes == sum(vector.nbytes + 320 for vector in held)


# --- what stands for an input -----------------------------------------------------------------------------


@given(st.lists(st.integers(0, 2**31 - 1)), st.integers(1, 4096))
def test_a_fingerprint_is_the_same_whatever_holds_the_ids(ids: list[int], dim: int) -> None:
    forms = [ids, tuple(ids), array("i", ids), np.array(ids, np.int32), np.array(ids, np.int64)]

    assert {fingerprint(form, dim) for form in forms} == {fingerprint(ids, dim)}
    assert len(fingerprint(ids, dim)) == 16


def test_other_ids_another_order_or_another_dim_have_another_fingerprint() -> None:
    inputs = [([1, 2], 4), ([2, 1], 4), ([1, 2, 0], 4), ([1], 4), ([], 4), ([1, 2], 5), ([258], 4), ([1, 2], 260)]

    assert len({fingerprint(ids, dim) for ids, dim in inputs}) == len(inputs)
    assert fingerprint([1, 2], 4, unpooled=1) != fingerprint([1, 2], 4)
