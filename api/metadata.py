"""`GET /v1/metadata`, `/v1/license`, `/v1/manifest`, `/v1/version`: what is served, which release, what license.

Source: the bodies of NVIDIA NIM's endpoints of the same names.
"""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.metadata import distribution
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import orjson
from fastapi import APIRouter

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
    router = APIRouter(tags=["Metadata"])

    @router.get("/v1/metadata", summary="Release, models and license")
    async def metadata() -> dict[str, Any]:
        """What is served, from the workers' beats."""
        models = served(client)
        return {
            "version": release(),
            "modelInfo": [
                {"shortName": beat.model, "modelUrl": f"/v1/models/{quote(beat.model)}"} for beat in models
            ],
            "assetInfo": [],
            "licenseInfo": license_info(),
            "repository_override": "",
            "selectedModelProfileId": models[0].revision if models else "",
        }

    @router.get("/v1/license", summary="The license of this software")
    async def license_text() -> dict[str, Any]:
        """The whole text, with its SHA-256 and its size in bytes."""
        return license_info()

    @router.get("/v1/manifest", summary="Each model and its revision")
    async def manifest() -> dict[str, Any]:
        """`manifest_file` is JSON: a line for every model with a live worker."""
        return {"manifest_file": _manifest(served(client)), "repository_override": ""}

    @router.get("/v1/version", summary="Release of this software and of its API")
    async def version() -> dict[str, Any]:
        """Both are those of the package: one release, one API."""
        return {"release": release(), "api": release()}

    return router


@cache
def release() -> str:
    """The version of the installed package."""
    return distribution(_DISTRIBUTION).version


@cache
def license_info() -> dict[str, Any]:
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
    return {
        "name": expression,
        "path": str(file),
        "sha": hashlib.sha256(text).hexdigest(),
        "size": len(text),
        "url": _LICENSE_URLS.get(expression, ""),
        "type": "file",
        "content": text.decode(),
    }


def _manifest(models: list[Beat]) -> str:
    fields = {"model", "aliases", "revision", "dim", "dimensions", "max_tokens", "asymmetric"}
    return b"\n".join(orjson.dumps(beat.model_dump(mode="json", include=fields)) for beat in models).decode()
