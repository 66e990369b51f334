"""Reads `tests/payloads/`: the recorded payloads and what is expected of each."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

PAYLOADS: Final = Path(__file__).parents[1] / "payloads"


@dataclass(frozen=True, slots=True)
class Recorded:
    """One request message and its row of the expectation table."""

    name: str
    value: bytes
    expected: dict[str, Any]

    @property
    def key(self) -> bytes | None:
        if "key_hex" in self.expected:
            return bytes.fromhex(self.expected["key_hex"])
        return self.expected["key"].encode() if "key" in self.expected else None


def requests(kind: str) -> list[Recorded]:
    """The request messages of `requests/<kind>/`, in the table's order."""
    table: dict[str, Any] = json.loads((PAYLOADS / f"requests/{kind}.json").read_bytes())
    folder = PAYLOADS / "requests" / kind
    return [Recorded(name, (folder / name).read_bytes(), row) for name, row in table.items()]


def files(folder: str) -> dict[str, bytes]:
    """The payloads of one folder, its sub-folders not counted: file name -> content."""
    return {path.name: path.read_bytes() for path in sorted((PAYLOADS / folder).iterdir()) if path.is_file()}


VALID: Final = requests("valid")
INVALID: Final = requests("invalid")
