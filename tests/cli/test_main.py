from __future__ import annotations

import re
from importlib.metadata import version
from typing import TYPE_CHECKING

import pytest

from tests.stack.command import run_command

if TYPE_CHECKING:
    from tests.stack.fixtures import RunHere

KAFKA = ["--bootstrap", "--kafka", "--prefix", "--config"]
MODEL = ["--model", "--name", "--encoder", "--device", "--dtype"]
FILTERS = ["--code", "--topic", "--slug", "--partition", "--offset", "--key", "--id", "--since", "--until"]
FLAGS = {
    "up": [*KAFKA, *MODEL, "--devices", "--models", "--auth", "--host", "--port", "--sample", "--log-level"],
    "worker": [
        *KAFKA,
        *MODEL,
        "--devices",
        "--threads",
        "--models",
        "--slug",
        "--budget-tokens",
        "--max-tokens",
        "--reply-topic",
        "--group-protocol",
        "--drain-timeout",
        "--stuck-after",
        "--metrics-port",
        "--metrics-host",
        "--max-own-failures",
        "--delivery",
        "--lanes",
        "--trust-remote-code",
        "--allow-mixed",
        "--log-level",
    ],
    "api": [*KAFKA, "--host", "--port", "--auth", "--log-level"],
    "embed": [
        *KAFKA,
        *MODEL,
        "--output",
        "--format",
        "--field",
        "--give-up-after",
        "--id-field",
        "--errors",
        "--resume",
        "--force",
        "--input-type",
        "--truncate",
        "--dimensions",
    ],
    "contract": ["--output"],
    "topics create": [*KAFKA, "--models", "--replication", "--slug"],
    "dlq list": [*KAFKA, *FILTERS, "--limit", "--json"],
    "dlq show": [*KAFKA, "--payload", "--json"],
    "dlq replay": [*KAFKA, *FILTERS, "--limit", "--max-attempts", "--force", "--dry-run", "--json"],
    "dlq purge": [*KAFKA, *FILTERS, "--all", "--dry-run", "--json"],
    "keys new": ["--auth", "--requests-per-minute", "--tokens-per-minute"],
    "keys list": ["--auth"],
    "keys revoke": ["--auth"],
}

_NOT_FOR_HELP = (
    "torch",
    "fastapi",
    "confluent_kafka",
    "pydantic_settings",
    "pydantic",
    "numpy",
    "pyarrow",
    "uvicorn",
)


def test_the_bare_command_shows_every_command() -> None:
    _, bare = run_command()
    status, helped = run_command("--help")

    assert status == 0
    assert bare.stdout + bare.stderr == helped.stdout
    for name in ("up", "worker", "api", "embed", "topics", "dlq", "keys", "contract"):
        assert re.search(rf"^  {name} ", helped.stdout, re.MULTILINE), helped.stdout


@pytest.mark.parametrize("command", FLAGS)
def test_help_of_a_command_lists_its_flags_and_no_other(run_here: RunHere, command: str) -> None:
    status, helped, _ = run_here(*command.split(), "--help")

    assert status == 0
    listed = re.findall(r"^  (?:-\w, )?(--[a-z-]+)", helped, re.MULTILINE)
    assert sorted(listed) == sorted([*FLAGS[command], "--help"])


def test_help_imports_nothing_that_takes_time() -> None:
    script = f"""
import sys
sys.argv = ["kafka-embeddings", "--help"]
from cli.main import run
try:
    run()
except SystemExit:
    print("imported:", [name for name in {_NOT_FOR_HELP!r} if name in sys.modules])
"""
    status, command = run_command(script=script)

    assert status == 0, command.quote()
    assert command.stdout.splitlines()[-1] == "imported: []"


def test_the_version_is_the_distributions() -> None:
    status, command = run_command("--version")

    assert (status, command.stdout) == (0, f"kafka-embeddings {version('kafka-embeddings')}\n")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["nothing"], "nothing"),
        (["worker", "--nothing"], "--nothing"),
        (["embed"], "FILE"),
        (["embed", "in.txt"], "--output"),
        (["api", "--port", "many"], "--port"),
        (["worker", "--kafka", "no-value"], "KEY=VALUE"),
        (["topics", "create", "--kafka", "=value"], "KEY=VALUE"),
        (["contract", "wsdl"], "wsdl"),
        (["dlq", "show"], "PARTITION:OFFSET"),
        (["dlq", "replay", "--limit", "0"], "--limit"),
        (["dlq", "list", "--kafka", "no-value"], "KEY=VALUE"),
    ],
    ids=" ".join,
)
def test_a_wrong_flag_ends_with_status_2_and_names_it(run_here: RunHere, arguments: list[str], named: str) -> None:
    status, _, errors = run_here(*arguments)

    assert status == 2
    assert named in errors


@pytest.mark.parametrize(
    ("arguments", "environment", "named"),
    [
        (["api", "--port", "99999"], {}, "setting port: "),
        (["worker", "--log-level", "loud"], {}, "setting log_level: "),
        (["worker", "--dtype", "float8"], {}, "setting model.dtype: "),
        (["worker", "--group-protocol", "new"], {}, "setting kafka.group_protocol: "),
        (["worker", "--threads", "0"], {}, "setting model.threads: "),
        (["worker", "--delivery", "at-most-once"], {}, "setting delivery: "),
        (["worker", "--lanes", "bulk,fast"], {}, "setting lanes.1: "),
        (["worker", "--delivery", "exactly-once", "--lanes", "interactive,bulk"], {}, "exactly-once is for bulk"),
        (["worker", "--devices", "cpu,gpu0"], {}, "no device 'gpu0'"),
        (["worker", "--devices", "cpu,auto"], {}, "no device 'auto'"),
        (["worker"], {"KAFKA_EMBEDDINGS_DEVICES": '["cpu", ""]'}, "no device ''"),
        (["worker", "--devices", "cpu,cpu", "--device", "cpu"], {}, "give one of them"),
        (["up"], {"KAFKA_EMBEDDINGS_DELIVERY": "exactly-once"}, "must serve both lanes"),
        (["api"], {"KAFKA_EMBEDDINGS_TIMEOUT_SECONDS": "-1"}, "setting timeout_seconds: "),
        (["worker", "--config", "/no/such/file.toml"], {}, "/no/such/file.toml"),
        (["topics", "create", "--kafka", "enable.auto.commit=true"], {}, "'enable.auto.commit'"),
        (["worker", "--max-own-failures", "0"], {}, "setting own_failures.share: "),
        (["dlq", "show", "doc-1"], {}, "PARTITION:OFFSET"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_setting_ends_in_one_line_with_status_2(
    run_here: RunHere, arguments: list[str], environment: dict[str, str], named: str
) -> None:
    status, _, errors = run_here(*arguments, **environment)

    assert status == 2
    [line] = errors.splitlines()
    assert line.startswith("kafka-embeddings: ")
    assert named in line


@pytest.mark.parametrize(("given", "named"), [("sasl.password:hunter2", ", as in sasl.password=…"), ("=hunter2", "")])
def test_an_option_of_kafka_that_cannot_be_read_is_not_quoted_with_its_password(
    run_here: RunHere, given: str, named: str
) -> None:
    status, _, errors = run_here("api", "--kafka", given)

    assert status == 2
    assert f"--kafka takes KEY=VALUE{named}" in " ".join(errors.replace("│", " ").split())
    assert "hunter2" not in errors
