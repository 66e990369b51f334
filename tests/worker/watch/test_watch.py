"""`worker/watch/watch.py`: what the pipeline tells, put together."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from structlog.testing import capture_logs

from schemas.topics import Lane, TopicNames
from transport.errors import SettingsError
from worker.errors import StuckError
from worker.settings import WorkerSettings
from worker.stages import StageFailure
from worker.watch import watch as watch_module
from worker.watch.watch import Watch

from ..fakes import an_item, answer

if TYPE_CHECKING:
    from collections.abc import Iterator


def a_watch(**settings: Any) -> Watch:
    return Watch(WorkerSettings(**settings), StageFailure())


@pytest.fixture
def _quick_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_module, "LOOK_EVERY_SECONDS", 0.01)


@pytest.fixture
def watched() -> Iterator[tuple[Watch, httpx.Client]]:
    """One with a port, and a client of it."""
    with (
        capture_logs() as said,
        a_watch(metrics_port=0) as watch,
        httpx.Client(base_url=said[0]["url"], verify=False) as http,
    ):
        yield watch, http


def test_without_a_port_nothing_listens_and_nobody_is_asked_for_lag() -> None:
    before = threading.active_count()
    with a_watch() as watch:
        watch.follow_lag(None, TopicNames(), {})  # type: ignore[arg-type]
        assert threading.active_count() == before


def test_a_port_that_is_taken_stops_the_start(watched: tuple[Watch, httpx.Client]) -> None:
    port = watched[1].base_url.port
    with pytest.raises(SettingsError, match=rf":{port} .*--metrics-port"), a_watch(metrics_port=port):
        pass


def test_before_anything_is_loaded_probes_and_metrics_are_answered(watched: tuple[Watch, httpx.Client]) -> None:
    _, http = watched
    assert http.get("/health/live").json() == {"object": "health.response", "message": "live", "ready": True}
    ready = http.get("/health/ready")
    assert (ready.status_code, ready.json()["message"]) == (503, "no broker has answered yet")
    assert "kafka_embeddings_worker_ready 0.0" in http.get("/metrics").text.splitlines()
    assert "process_resident_memory_bytes" in http.get("/metrics").text


def test_metrics_come_as_openmetrics_to_those_who_ask_for_it(watched: tuple[Watch, httpx.Client]) -> None:
    _, http = watched
    told = http.get("/metrics", headers={"accept": "application/openmetrics-text; version=1.0.0"})
    assert told.headers["content-type"].startswith("application/openmetrics-text")
    assert told.text.endswith("# EOF\n")


@pytest.mark.usefixtures("_quick_looks")
def test_a_request_that_is_stuck_is_named_without_its_text_and_ends_the_worker() -> None:
    item = an_item(["a secret text"], key=b"doc-9", partition=3, offset=7)
    with a_watch(stuck_after_seconds=0.05) as watch:
        watch.read([item])
        with capture_logs() as said, pytest.raises(StuckError, match="3:7"):
            watch.run()
        assert watch.health.why_not_live() == "a request is stuck"

    [event] = said
    assert event["log_level"] == "error"
    named = {name: event[name] for name in ("request_id", "key", "topic", "partition", "offset", "lane")}
    assert named == {
        "request_id": "r1",
        "key": "doc-9",
        "topic": "embedding.requests",
        "partition": 3,
        "offset": 7,
        "lane": "bulk",
    }
    assert "secret" not in str(said)


@pytest.mark.usefixtures("_quick_looks")
def test_bulk_work_without_a_share_may_starve_and_with_one_may_not() -> None:
    def looks(bulk_share: float) -> bool:
        """Whether a bulk request is stuck behind interactive ones that get done."""
        watch, waiting = a_watch(stuck_after_seconds=1.0, batch={"bulk_share": bulk_share}), an_item()
        watch.read([waiting])
        for second in range(10):
            done = answer(an_item(lane=Lane.INTERACTIVE))
            watch.read([done])
            watch.closed(done, True)
            if watch._look(Lane.BULK, 100.0 + second) is not None:
                return True
        return False

    assert looks(0.2)
    assert not looks(0.0)
