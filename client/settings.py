"""How the client asks: settings shared by the API and the command."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class ClientSettings(BaseModel):
    """Sizes and times of request and reply."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    instance_id: str = ""
    """Chooses the reply partition; keep it the same over restarts. None given: host name and process id."""
    window_bytes: Annotated[int, Field(ge=65536)] = 64 * 1024 * 1024
    """Expected bytes of replies under way; the embedded broker allows 2 MiB at most."""
    part_inputs: Annotated[int, Field(ge=1)] = 64
    """Inputs of one message; a larger request is split, so that several workers share it."""
    part_bytes: Annotated[int, Field(ge=1024)] = 512 * 1024
    """Bytes of one message, of its texts and of its reply alike, unless a single input has more."""
