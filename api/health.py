"""`GET /v1/health/live` and `GET /v1/health/ready`; probes judge the status only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi import APIRouter
from starlette.responses import JSONResponse

from schemas.beats import WorkerState

if TYPE_CHECKING:
    from starlette.responses import Response

    from client.request_reply import EmbeddingClient

    from .admission import Admission


def health_router(client: EmbeddingClient, admission: Admission) -> APIRouter:
    """The routes, over one client; what takes no more requests is not ready."""
    router = APIRouter(tags=["Health"])

    @router.get("/v1/health/live", summary="Is the process alive?")
    async def live() -> dict[str, Any]:
        """Answers as long as the process serves."""
        return _body("live", ready=True)

    @router.get("/v1/health/ready", summary="Can a request be answered now?", response_model=None)
    async def ready() -> Response:
        """200 while a worker is ready, by its beats, and this process is not stopping."""
        if admission.is_closed:
            return JSONResponse(_body("stopping", ready=False), status_code=503)
        workers = client.workers()
        if any(beat.state is WorkerState.READY for beat in workers):
            return JSONResponse(_body("ready", ready=True))
        message = "the model is loading" if workers else "no worker is running, or no broker answers"
        return JSONResponse(_body(message, ready=False), status_code=503)

    return router


def _body(message: str, *, ready: bool) -> dict[str, Any]:
    return {"object": "health.response", "message": message, "ready": ready}
