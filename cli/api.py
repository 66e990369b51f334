"""`kafka-embeddings api`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .lifetime import follow_parent
from .log import configure_log

if TYPE_CHECKING:
    from pathlib import Path


def run_api(flags: dict[str, Any], config: Path | None) -> None:
    """Serve until stopped.

    Raises:
        Exception: What stopped it otherwise; the process must exit non-zero.
    """
    from api.serving import serve
    from api.settings import ApiSettings

    settings = ApiSettings.build(flags, config, "api")
    configure_log(settings.log_level, settings.log_format)
    follow_parent()
    serve(settings)
