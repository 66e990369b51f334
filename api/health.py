"""`GET /v1/health/live` and `GET /v1/health/ready`; probes judge the status only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi import APIRouter
from starlette.responses import JSONResponse

from schemas.beats import WorkerState

if TYPE_CHECKING:
    from starlette.responses import Response

    from client.request_reply import EmbeddingClient


def health_router(client: EmbeddingClient) -> APIRouter:
    """The routes, over one client."""
    router = APIRouter(tags=["Health"])

    @router.get("/v1/health/live", summary="Is the process alive?")
    async def live() -> dict[str, Any]:
        """Answers as long as the process serves."""
        return _body("live", ready=True)

    @router.get("/v1/health/ready", summary="Can a request be answered now?", response_model=None)
    async def ready() -> Response:
        """200 while a worker is ready; its beats are what is judged."""
        workers = client.workers()
        if any(beat.state is WorkerState.READY for beat in workers):
            return JSONResponse(_body("ready", ready=True))
        message = "the model is loading" if workers else "no worker is running, or no broker answers"
        return JSONResponse(_body(message, ready=False), status_code=503)

    return router


def _body(message: str, *, ready: bool) -> dict[str, Any]:
    return {"object": "health.response", "message": message, "ready": ready}
