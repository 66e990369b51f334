"""`GET /v1/metadata`, `/v1/license`, `/v1/manifest`, `/v1/version`: what is served, which release, what license.

Source: the bodies of NVIDIA NIM's endpoints of the same names.
"""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.metadata import distribution
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

import orjson
from fastapi import APIRouter

from .bodies import License, Manifest, Metadata, ModelInfo, Version
from .served_models import served

if TYPE_CHECKING:
    from client.request_reply import EmbeddingClient
    from schemas.beats import Beat

_DISTRIBUTION: Final = "kafka-embeddings"
_LICENSE_FILE: Final = "LICENSE"
_LICENSE_URLS: Final = {"Apache-2.0": "https://www.apache.org/licenses/LICENSE-2.0"}
"""By SPDX expression."""


def metadata_router(client: EmbeddingClient) -> APIRouter:
    """The routes, over one client."""
    router = APIRouter()

    @router.get("/v1/metadata")
    async def metadata() -> Metadata:
        """What is served, from the workers' beats."""
        models = served(client)
        return Metadata(
            version=release(),
            modelInfo=[ModelInfo(shortName=one.model, modelUrl=f"/v1/models/{quote(one.model)}") for one in models],
            assetInfo=[],
            licenseInfo=license_info(),
            repository_override="",
            selectedModelProfileId=models[0].revision if models else "",
        )

    @router.get("/v1/license")
    async def license_text() -> License:
        """The whole text, with its SHA-256 and its size in bytes."""
        return license_info()

    @router.get("/v1/manifest")
    async def manifest() -> Manifest:
        """`manifest_file` is JSON: a line for every model with a live worker."""
        return Manifest(manifest_file=_manifest(served(client)), repository_override="")

    @router.get("/v1/version")
    async def version() -> Version:
        """Both are those of the package: one release, one API."""
        return Version(release=release(), api=release())

    return router


@cache
def release() -> str:
    """The version of the installed package."""
    return distribution(_DISTRIBUTION).version


@cache
def license_info() -> License:
    """The license as it is installed with the package.

    Raises:
        FileNotFoundError: It was installed without one.
    """
    package = distribution(_DISTRIBUTION)
    file = next((one for one in package.files or () if one.name == _LICENSE_FILE), None)
    if file is None:
        raise FileNotFoundError(f"{_DISTRIBUTION} was installed without its {_LICENSE_FILE}")
    text = file.read_binary()
    expression = package.metadata["License-Expression"]
    return License(
        name=expression,
        path=str(file),
        sha=hashlib.sha256(text).hexdigest(),
        size=len(text),
        url=_LICENSE_URLS.get(expression, ""),
        content=text.decode(),
    )


def _manifest(models: list[Beat]) -> str:
    fields = {"model", "aliases", "revision", "dim", "dimensions", "max_tokens", "asymmetric"}
    return b"\n".join(orjson.dumps(beat.model_dump(mode="json", include=fields)) for beat in models).decode()
