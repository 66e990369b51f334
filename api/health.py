"""`GET /v1/health/live` and `GET /v1/health/ready`; probes judge the status only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter
from starlette.responses import Response  # noqa: TC002 - FastAPI reads it at run time

from schemas.beats import WorkerState

from .bodies import Health

if TYPE_CHECKING:
    from client.request_reply import EmbeddingClient

    from .admission import Admission


def health_router(client: EmbeddingClient, admission: Admission) -> APIRouter:
    """The routes, over one client; what takes no more requests is not ready."""
    router = APIRouter()

    @router.head("/v1/health/live", include_in_schema=False)
    @router.get("/v1/health/live")
    async def live() -> Health:
        """Answers as long as the process serves."""
        return Health(message="live", ready=True)

    @router.head("/v1/health/ready", include_in_schema=False)
    @router.get("/v1/health/ready")
    async def ready(response: Response) -> Health:
        """200 while a worker is ready, by its beats, and this process is not stopping."""
        message = _why_not(client, admission)
        if message is not None:
            response.status_code = 503
        return Health(message=message or "ready", ready=message is None)

    return router


def _why_not(client: EmbeddingClient, admission: Admission) -> str | None:
    """Why no request can be answered now; None when one can."""
    if admission.is_closed:
        return "stopping"
    workers = client.workers()
    if any(beat.state is WorkerState.READY for beat in workers):
        return None
    return "the model is loading" if workers else "no worker is running, or no broker answers"
