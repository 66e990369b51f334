"""Everything the API can be told."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - pydantic reads it at run time
from typing import Annotated

from pydantic import Field, SecretStr

from client.settings import ClientSettings
from transport.settings import ProcessSettings


class ApiSettings(ProcessSettings):
    """Settings of `kafka-embeddings api`."""

    host: str = "127.0.0.1"
    """Address to listen on."""
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    """Port to listen on; 0: any free one."""
    auth_file: Path | None = None
    """File of keys, made by `kafka-embeddings keys new`; with it, `POST /v1/embeddings` asks for one of them."""
    rate_limit_storage: SecretStr | None = None
    """Redis URL (`redis://…`) where the limits of keys are counted for all replicas; none: each counts its own."""
    client: ClientSettings = ClientSettings()
    timeout_seconds: Annotated[float, Field(gt=0)] = 30.0
    """Time from a request's arrival to its reply, its body included; `x-request-timeout` can only lower it.

    Its caller has as long again to take the answer in, and is then hung up on."""
    strict_fields: bool = False
    """Refuse a request with a field that is none of ours, instead of ignoring it."""
    max_body_bytes: Annotated[int, Field(ge=1024)] = 8 * 1024 * 1024
    """Largest request body."""
    max_in_flight_bytes: Annotated[int, Field(ge=1024)] = 128 * 1024 * 1024
    """Request bodies under way and the answers to them; beyond it a request is refused at once with 503."""
    max_in_flight_tokens: Annotated[int, Field(ge=1024)] = 4 * 1024 * 1024
    """Tokens under way, 4 bytes a token, counted while a body arrives; beyond it 503 like the above."""
    drain_timeout_seconds: Annotated[float, Field(ge=0)] = 10.0
    """How long a stopping API answers what it has accepted."""
