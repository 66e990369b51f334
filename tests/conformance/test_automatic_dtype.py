"""Cases 1, 2, 3, 8, 11, 15 and 34 as a worker computes by itself: in bfloat16, where its device does.

On real weights: those of the small models are so large that rounding alone turns their vectors.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np
import pytest

from .models import DEFAULT, ROLES, body_of
from .service import Service, cosine

if TYPE_CHECKING:
    from pathlib import Path

    from tests.stack.stack import Stack

    from .models import SmallModels

pytestmark = [pytest.mark.model, pytest.mark.slow]

TEXTS = ["how does a consumer find its broker", "the broker keeps 5 MiB", "a"]
SHORTER = (64, 128)
LEAST = 0.999
_NAME: Final = "org/real"
_PREFIXES: Final = {"query": "query: ", "passage": "passage: "}
_CATALOGUE: Final = """
[models."{name}"]
source = "{source}"
asymmetric = true
query_prefix = "{query}"
passage_prefix = "{passage}"
dimensions = {dimensions}
"""


@pytest.fixture
def automatic(new_stack: Stack, small_models: SmallModels, tmp_path: Path) -> Service:
    """The packaged model, served as one with roles and shorter lengths."""
    catalogue = tmp_path / "models.toml"
    text = _CATALOGUE.format(name=_NAME, source=DEFAULT, dimensions=list(SHORTER), **_PREFIXES)
    catalogue.write_text(text)
    stack = new_stack.start("--models", str(catalogue), "--dtype", "auto")
    reference = replace(small_models.references[DEFAULT], prefixes=_PREFIXES)
    return Service(stack.api.http, {_NAME: reference}, stack.bootstrap, "embedding")


def test_under_the_automatic_dtype_vectors_are_those_of_float32_within_a_thousandth(automatic: Service) -> None:
    reference = automatic.references[_NAME]
    limit = reference.limit
    for role in ROLES:
        body = body_of(_NAME, TEXTS, input_type=role)
        together = automatic.ok(body).vectors
        assert np.allclose(np.linalg.norm(together, axis=1), 1, atol=1e-3)
        for text, row in zip(TEXTS, together, strict=True):
            alone = automatic.ok(body | {"input": text, "encoding_format": "base64"}).decoded()[0]
            assert min(cosine(row, alone), cosine(row, reference.vector(text, role))) >= LEAST
        kept = reference.text_of(limit, role)
        head = automatic.ok(body | {"input": f"{kept} offset lag", "truncate": "END"})
        tail = automatic.ok(body | {"input": f"offset lag {kept}", "truncate": "START"})
        assert (head.tokens, tail.tokens) == (limit, limit)
        assert min(cosine(answer.vector, reference.vector(kept, role)) for answer in (head, tail)) >= LEAST
        for dim in SHORTER:
            shorter = automatic.ok(body | {"dimensions": dim}).vectors
            assert np.allclose(np.linalg.norm(shorter, axis=1), 1, atol=1e-3)
            assert min(map(cosine, shorter, together[:, :dim])) >= LEAST
        bits = automatic.ok(body | {"embedding_type": "ubinary"}).vectors
        differing = np.bitwise_count(bits ^ np.packbits(together > 0, axis=1)).sum()
        assert differing <= 0.01 * together.size
