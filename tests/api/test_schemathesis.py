"""The running service held against its own OpenAPI document, by requests made from that document."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.stack.stack import Stack

_LEAST_REQUESTS = 2000
_HERE = Path(__file__).parent


@pytest.mark.slow
def test_no_generated_request_meets_a_fault_or_an_answer_that_the_document_does_not_describe(
    null_stack: Stack, tmp_path: Path
) -> None:
    # A process of its own: inside pytest its warnings would be ours, and so errors.
    ran = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "run", f"{null_stack.api_url}/openapi.json"),
            *("--checks", "all", "--continue-on-failure", "--phases", "examples,coverage,fuzzing,stateful"),
            *("--seed", "1", "--max-examples", "120", "--generation-database", "none", "--no-color"),
        ],
        capture_output=True,
        text=True,
        timeout=280,
        cwd=tmp_path,
        env={**os.environ, "SCHEMATHESIS_HOOKS": str(_HERE / "schemathesis_hooks.py")},
    )
    assert ran.returncode == 0, ran.stdout[-20_000:] + ran.stderr
    counted = re.search(r"(\d+) generated", ran.stdout)
    assert counted, ran.stdout
    assert int(counted.group(1)) >= _LEAST_REQUESTS, ran.stdout
    assert null_stack.api.is_running
    assert null_stack.worker.is_running
