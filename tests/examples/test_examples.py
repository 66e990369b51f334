"""Each program of `examples/`: it answers where there is a service, and ends with an error where there is none."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from tests.lacking import needs
from tests.transport.port import Port

if TYPE_CHECKING:
    from .conftest import Service

EXAMPLES: Final = Path(__file__).parents[2] / "examples"
needs_kcat = needs("kcat")


def _run(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    interpreter = "sh" if program.endswith(".sh") else sys.executable
    return subprocess.run(
        [interpreter, program, *arguments], cwd=EXAMPLES, capture_output=True, text=True, check=False, timeout=120
    )


def test_a_json_message_gives_a_response_keyed_by_its_id(service: Service) -> None:
    told = ("--bootstrap", service.bootstrap, "--prefix", service.prefix)

    first, second = _run("produce_and_consume.py", *told), _run("produce_and_consume.py", *told)

    for run in (first, second):
        assert run.returncode == 0, run.stderr
        answer, metadata = run.stdout.splitlines()
        assert re.fullmatch(r"doc-[0-9a-f]{8}: 384 numbers, \d+ tokens", answer)
        assert metadata == "metadata as sent: {'url': 'https://example.org/a'}"
    assert first.stdout != second.stdout


def test_a_reply_comes_to_the_partition_that_was_asked_for(service: Service) -> None:
    run = _run("request_reply.py", "--bootstrap", service.bootstrap, "--prefix", service.prefix, "a text")

    assert run.returncode == 0, run.stderr
    assert re.match(r"384 numbers after \d+ ms, the first three: \(-?0\.0510\d+, ", run.stdout)


def test_openais_client_gets_vectors_in_the_order_of_its_texts(service: Service) -> None:
    run = _run("openai_client.py", "--base-url", f"{service.api_url}/v1")

    assert run.returncode == 0, run.stderr
    summary, *cosines = run.stdout.splitlines()
    assert re.fullmatch(r"3 vectors of 384 numbers, \d+ tokens", summary)
    # By the null encoder two texts have nothing in common.
    assert all(abs(float(line.split()[0])) < 0.3 for line in cosines)
    assert len(cosines) == 2


@needs_kcat
def test_kcat_alone_publishes_a_request_and_reads_its_response(service: Service) -> None:
    run = _run("kcat.sh", service.bootstrap, service.prefix)

    assert run.returncode == 0, run.stderr
    assert re.match(r'(kcat-\d+-\d+) {"id":"\1","object":"list","data":\[{', run.stdout)


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        "produce_and_consume.py --bootstrap ADDRESS --timeout 1",
        "request_reply.py --bootstrap ADDRESS --timeout 1",
        "openai_client.py --base-url http://ADDRESS/v1 --timeout 1",
        pytest.param("kcat.sh ADDRESS embedding 1", marks=needs_kcat),
    ],
)
def test_without_a_service_an_example_says_so_in_words_and_fails(command: str) -> None:
    with Port() as closed:
        run = _run(*command.replace("ADDRESS", closed.address).split())

    assert run.returncode == 1
    assert run.stdout == ""
    assert run.stderr
    assert "Traceback" not in run.stderr


def test_the_examples_page_lists_every_program() -> None:
    listed = set(re.findall(r"^\| \[(\S+)\]\(\1\)", (EXAMPLES / "README.md").read_text(), re.MULTILINE))

    assert listed == {path.name for path in EXAMPLES.iterdir() if path.suffix in {".py", ".sh"}}
