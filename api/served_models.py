"""`GET /v1/models` and `GET /v1/models/{id}`, from the workers' beats."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter

from schemas.errors import ErrorCode, RequestError

from .bodies import Model, ModelList

if TYPE_CHECKING:
    from client.request_reply import EmbeddingClient
    from schemas.beats import Beat


def models_router(client: EmbeddingClient) -> APIRouter:
    """The routes, over one client."""
    router = APIRouter()

    @router.head("/v1/models", include_in_schema=False)
    @router.get("/v1/models")
    async def list_models() -> ModelList:
        """Every model with a live worker; the default model first."""
        return ModelList(data=[_model(beat) for beat in served(client)])

    @router.head("/v1/models/{model:path}", include_in_schema=False)
    @router.get("/v1/models/{model:path}")
    async def get_model(model: str) -> Model:
        """A model by its name or an alias."""
        for beat in client.workers():
            if model in (beat.model, *beat.aliases):
                return _model(beat)
        raise RequestError(ErrorCode.MODEL_NOT_FOUND, f"The model '{model}' does not exist", param="model")

    return router


def served(client: EmbeddingClient) -> list[Beat]:
    """A beat of every model with a live worker; the default model first, then by name."""
    models = {beat.model: beat for beat in reversed(client.workers())}
    return sorted(models.values(), key=lambda beat: (beat.slug != "", beat.model))


def _model(beat: Beat) -> Model:
    return Model(
        id=beat.model,
        created=beat.started_at_ms // 1000,
        owned_by=beat.model.partition("/")[0] if "/" in beat.model else "kafka-embeddings",
        root=beat.model,
    )
