from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cli.contract import Contract
from cli.contract_files import contract_files, encoded
from tests.stack.command import run_command

if TYPE_CHECKING:
    from tests.stack.fixtures import RunHere

COMMITTED = Path(__file__).parents[2] / "schemas"


def _below(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.json")}


def test_the_committed_contracts_are_the_codes_own() -> None:
    wanted = {name: encoded(document) for name, document in contract_files().items()}

    assert _below(COMMITTED) == wanted, "run: kafka-embeddings contract -o schemas"


def test_everything_is_written_into_an_empty_folder_and_named(run_here: RunHere, tmp_path: Path) -> None:
    status, said, _ = run_here("contract", "-o", str(tmp_path / "new"))

    assert status == 0
    written = _below(tmp_path / "new")
    assert written == _below(COMMITTED)
    assert said.split() == [str(tmp_path / "new" / name) for name in contract_files()]


@pytest.mark.parametrize("contract", Contract)
def test_one_contract_alone_is_written(run_here: RunHere, tmp_path: Path, contract: Contract) -> None:
    run_here("contract", contract.value, "--output", str(tmp_path))

    assert _below(tmp_path).keys() == contract_files(contract).keys()
    assert {name.partition("/")[0] for name in _below(tmp_path)} <= {"json", f"{contract}.json"}


@pytest.mark.parametrize("contract", [Contract.OPENAPI, Contract.ASYNCAPI])
def test_one_document_is_printed_as_it_is_written(run_here: RunHere, contract: Contract) -> None:
    status, printed, _ = run_here("contract", contract.value)

    assert status == 0
    assert printed.encode() == (COMMITTED / f"{contract}.json").read_bytes()


def test_several_documents_are_printed_as_one_object_each_under_its_path(run_here: RunHere) -> None:
    _, all_of_them, _ = run_here("contract", "-o", "-")
    _, schemas, _ = run_here("contract", "json-schema")

    assert json.loads(all_of_them) == {name: json.loads(content) for name, content in _below(COMMITTED).items()}
    assert json.loads(schemas).keys() == contract_files(Contract.JSON_SCHEMA).keys()


def test_a_folder_that_cannot_be_made_is_named(run_here: RunHere, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    status, _, errors = run_here("contract", "-o", str(tmp_path / "file"))

    assert status == 2
    assert f"cannot write {tmp_path / 'file' / 'openapi.json'}" in " ".join(errors.split())


def test_the_contracts_need_neither_torch_nor_fastapi_nor_a_kafka_client() -> None:
    heavy = ("torch", "transformers", "fastapi", "starlette", "confluent_kafka", "pydantic_settings")
    script = (
        f"import sys, cli.contract_files as it; it.contract_files(); print([n for n in {heavy} if n in sys.modules])"
    )

    status, command = run_command(script=script)

    assert status == 0, command.quote()
    assert command.stdout == "[]\n"
