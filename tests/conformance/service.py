"""The service under the contract: small models and the default one behind one API, and how it is asked."""

from __future__ import annotations

import base64
import uuid
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from schemas.errors import ErrorCode
from tests.api.hybrid import check_error
from tests.stack.stack import Api

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx
    from numpy.typing import NDArray

    from .models import Reference, SmallModels


@dataclass(frozen=True, slots=True)
class Service:
    """Where requests are sent, and what they are held against."""

    http: httpx.Client
    references: dict[str, Reference]
    bootstrap: str
    prefix: str

    @property
    def url(self) -> str:
        """Base of every path, as clients take it."""
        return f"{self.http.base_url}".rstrip("/")

    @property
    def place(self) -> tuple[str, ...]:
        """What leads a further `kafka-embeddings` command to the same broker and topics."""
        return ("--bootstrap", self.bootstrap, "--prefix", self.prefix)

    def through(self, http: httpx.Client) -> Service:
        """The same models asked through another API."""
        return replace(self, http=http)

    def post(self, body: object, **headers: str) -> httpx.Response:
        """Ask, whatever comes back; checks what every answer carries."""
        answer = self.http.post("/v1/embeddings", json=body, headers=headers)
        assert answer.headers["x-request-id"]
        return answer

    def ok(self, body: dict[str, Any]) -> Answer:
        """Ask for what is answered with 200."""
        answer = self.post(body)
        assert answer.status_code == 200, answer.text
        fields = answer.json()
        assert fields["object"] == "list"
        assert fields["model"] == body["model"]
        assert [entry["object"] for entry in fields["data"]] == ["embedding"] * len(fields["data"])
        assert [entry["index"] for entry in fields["data"]] == list(range(len(fields["data"])))
        assert fields["usage"]["prompt_tokens"] == fields["usage"]["total_tokens"] > 0
        return Answer(fields)

    def refused(self, body: object, status: int = 400) -> dict[str, Any]:
        """The `error` of a request that is refused, after a look at the whole hybrid body."""
        answer = self.post(body)
        assert answer.status_code == status, answer.text
        fields = answer.json()
        check_error(answer, ErrorCode(fields["error"]["code"]))
        error: dict[str, Any] = fields["error"] | {"top": fields["message"]}
        return error


@dataclass(frozen=True, slots=True)
class Answer:
    """The body of a 200."""

    fields: dict[str, Any]

    @property
    def tokens(self) -> int:
        """What it cost."""
        count: int = self.fields["usage"]["prompt_tokens"]
        return count

    @property
    def vectors(self) -> NDArray[Any]:
        """Rows of numbers, as JSON has them."""
        return np.array([entry["embedding"] for entry in self.fields["data"]])

    @property
    def vector(self) -> NDArray[Any]:
        """The only row."""
        [row] = self.vectors
        return row  # type: ignore[no-any-return]

    def decoded(self, dtype: str = "<f4") -> NDArray[Any]:
        """Rows that are base64."""
        return np.stack([np.frombuffer(base64.b64decode(e["embedding"]), dtype) for e in self.fields["data"]])


def cosine(one: NDArray[Any], other: NDArray[Any]) -> float:
    """Of two vectors, whatever their lengths are."""
    return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))


@contextmanager
def serving(models: SmallModels, bootstrap: str | None) -> Iterator[Service]:
    """All models served by `up`, on topics of its own.

    Args:
        models: What its catalogue names.
        bootstrap: A Kafka; none: a broker of its own.
    """
    prefix = f"c{uuid.uuid4().hex[:8]}"
    flags = ["--models", str(models.catalogue), "--port", "0", "--dtype", "float32", "--prefix", prefix]
    if bootstrap is not None:
        flags += ["--bootstrap", bootstrap]
    with Api("up", *flags) as api:
        found = api.wait_for(r"(?:embedded broker|Kafka) +([\d.]+:\d+)", within_seconds=180).group(1)
        api.wait_for("Ctrl-C stops everything")
        yield Service(api.http, models.references, found, prefix)
