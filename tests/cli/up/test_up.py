from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import httpx
import pytest
from confluent_kafka import Consumer, TopicPartition

from schemas.topics import TopicNames
from tests.lacking import needs
from tests.stack.command import ROOT, Command, run_command
from tests.stack.stack import MODEL, http_client
from tests.stack.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.slow

_STOP_SECONDS = 5.0


@contextmanager
def _up(*flags: str, environment: dict[str, str] | None = None) -> Iterator[Command]:
    """`up` on a free port; told to stop in the end, so that its children go too."""
    with Command("up", "--encoder", "null", "--port", "0", *flags, environment=environment) as up:
        yield up
        if up.is_running:
            up.signal(signal.SIGTERM)
            up.wait()


def _url(up: Command) -> str:
    return up.wait_for(r"API +(http://[\d.]+:\d+)").group(1)


def _ask(url: str, model: str = MODEL) -> httpx.Response:
    with http_client(url) as http:
        return http.post("/v1/embeddings", json={"model": model, "input": "a text"})


def _worker_pid(up: Command) -> int:
    """Of the worker that became ready last; its id is `host-pid-random`."""
    return int(up.wait_for(r'"worker": "[^"]*-(\d+)-[0-9a-f]{8}"[^\n]*"ready"').group(1))


def _is_answered(url: str) -> bool:
    try:
        return _ask(url).status_code == 200
    except httpx.TransportError:
        return False


def test_its_api_asks_for_a_key_where_a_file_of_keys_is_named(tmp_path: Path) -> None:
    keys = str(tmp_path / "keys.json")
    _, made = run_command("keys", "new", "me", "--auth", keys)
    body = {"model": MODEL, "input": "a text"}
    with _up("--auth", keys) as up, http_client(_url(up)) as http:
        up.wait_for("Ctrl-C stops everything")
        assert http.post("/v1/embeddings", json=body).status_code == 401
        bearer = {"authorization": f"Bearer {made.stdout.strip()}"}
        assert http.post("/v1/embeddings", json=body, headers=bearer).status_code == 200


def test_the_whole_life_of_up() -> None:
    with _up("--log-level", "info") as up:
        # Ready: it says what runs.
        url = _url(up)
        up.wait_for("Ctrl-C stops everything")
        assert re.search(r"ready after \d+ s", up.stderr)
        assert re.search(rf"worker +{MODEL} on none in float32, 384 dimensions", up.stderr)
        answer = _ask(url)
        assert answer.status_code == 200, answer.text

        # A second start on the same port: one line, and the first goes on.
        port = str(httpx.URL(url).port)
        status, second = run_command("up", "--encoder", "null", "--port", port)
        assert status == 2, second.quote()
        [line] = second.stderr.splitlines()
        assert f":{port} " in line
        assert "--port" in line

        # A worker killed is started again, and requests are answered as before.
        first_pid = _worker_pid(up)
        os.kill(first_pid, signal.SIGKILL)
        up.wait_for("the worker was killed by SIGKILL, starting it again")
        wait_until(lambda: _worker_pid(up) != first_pid, "another worker")
        wait_until(lambda: _is_answered(url), "an answer by the new worker", explain=up.quote)

        # Ctrl-C: everything is gone in time.
        began_at = time.monotonic()
        up.signal(signal.SIGINT)
        assert up.wait() == 0, up.quote()
        assert time.monotonic() - began_at < _STOP_SECONDS, up.quote()
        assert "Traceback" not in up.stderr
        assert up.own_lines[-1] == "stopping"
        with pytest.raises(httpx.ConnectError):
            _ask(url)


@needs("kcat")
@needs("curl")
@pytest.mark.parametrize("flags", [[], ["--name", "mine", "--prefix", "other"]], ids=["defaults", "others"])
def test_the_commands_it_prints_run_as_they_are_pasted_into_any_folder(tmp_path: Path, flags: list[str]) -> None:
    (tmp_path / "FILE.jsonl").write_text('{"id": "a", "text": "hello"}\n')
    with _up(*flags) as up:
        up.wait_for("Ctrl-C stops everything")
        pasted = re.findall(r"^  (curl .*|\S*kafka-embeddings .*|echo .*|kcat .*)$", up.stderr, re.MULTILINE)
        curl, embed, publish, consume = (_paste(line, tmp_path) for line in pasted)

        assert len(json.loads(curl)["data"][0]["embedding"]) == 384, curl
        assert (embed, publish) == ("", "")
        row = json.loads((tmp_path / "OUT.jsonl").read_text())
        assert (row["id"], len(row["embedding"])) == ("a", 384)
        key, response = consume.strip().split(" ", 1)
        assert key == json.loads(response)["id"] == "doc-1"


def _paste(line: str, folder: Path) -> str:
    """Run a line in a shell; what it prints. Read again and again where the answer may still be on its way."""
    done: subprocess.CompletedProcess[str]

    def has_succeeded() -> bool:
        nonlocal done
        done = subprocess.run(
            ["sh", "-c", line],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        return bool(done.stdout.strip()) or " -C " not in line

    wait_until(has_succeeded, f"output of {line}")
    return done.stdout


def test_the_sample_is_complete_although_its_worker_is_killed_in_the_middle() -> None:
    with _up("--sample", "--log-level", "info") as up:
        bootstrap = up.wait_for(r"embedded broker +(\S+)").group(1)
        pid = _worker_pid(up)
        wait_until(lambda: _published(bootstrap) > 500, "the sample to get going", explain=up.quote)

        os.kill(pid, signal.SIGKILL)

        summary = up.wait_for(
            r"([\d,]+) docstrings sent, ([\d,]+) embeddings received, "
            r"([\d,]+) errors.*, ([\d,]+) lost, ([\d,]+) duplicated",
            within_seconds=90,
        )
        sent, received, errors, lost, duplicated = (int(number.replace(",", "")) for number in summary.groups())
        assert sent == received > 3000
        assert (errors, lost) == (0, 0)
        # What the worker had answered and not committed is answered again: told, and no fault.
        up.wait_for("restarts on the way: 1")
        assert ("duplicated: answered again" in up.stderr) == (duplicated > 0)
        up.wait_for("Ctrl-C stops everything")
        assert _is_answered(_url(up))


def test_a_worker_that_cannot_start_takes_up_down_with_its_reason(tmp_path: Path) -> None:
    with Command("up", "--port", "0", "--model", str(tmp_path / "nothing")) as up:
        assert up.wait() == 2, up.quote()

    assert up.own_lines[-2].startswith("kafka-embeddings: no model directory")
    assert up.own_lines[-1].startswith("kafka-embeddings: the worker exited with status 2")


def test_devices_are_served_by_a_process_each() -> None:
    with _up("--devices", "cpu,cpu", "--log-level", "info") as up:
        up.wait_for("Ctrl-C stops everything")
        assert _ask(_url(up)).status_code == 200
        up.wait_for(r'(?s)"ready".*"ready"')

        began_at = time.monotonic()
        up.signal(signal.SIGTERM)

        assert up.wait() == 0, up.quote()
        assert time.monotonic() - began_at < _STOP_SECONDS, up.quote()
        assert up.stderr.count('"event": "draining"') == 2


def test_a_model_of_another_name_and_a_prefix_are_followed(tmp_path: Path) -> None:
    model = tmp_path / "my-model"
    model.mkdir()

    with _up("--model", str(model), "--prefix", "other") as up:
        answer = _ask(_url(up), "my-model")

        assert answer.status_code == 200, answer.text


def test_sigterm_while_it_starts_leaves_no_process() -> None:
    with _up("--log-level", "info") as up:
        up.wait_for("connected")
        up.signal(signal.SIGTERM)

        assert up.wait(15) == 0, up.quote()
        assert "Traceback" not in up.stderr


def test_killed_with_9_it_takes_its_children_along() -> None:
    with _up("--log-level", "info") as up:
        up.wait_for("connected")

        up.kill()

        up.wait_for_everyone(10)


def _published(bootstrap: str) -> int:
    """Messages on the request topic of the bulk lane."""
    topic = TopicNames().requests
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "probe"})
    try:
        partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
        ends = [consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=10) for number in partitions]
    finally:
        consumer.close()
    return sum(high for _, high in ends)
