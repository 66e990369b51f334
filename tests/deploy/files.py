"""The files under test, parsed: compose file, Dockerfile, pyproject.toml."""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

ROOT: Final = Path(__file__).parents[2]
PROJECT: Final[dict[str, Any]] = tomllib.loads((ROOT / "pyproject.toml").read_text())
COMPOSE: Final[dict[str, Any]] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction of a Dockerfile, in the build stage it belongs to."""

    stage: str
    name: str
    text: str

    @property
    def words(self) -> list[str]:
        """The words of an exec-form instruction; ValueError on the shell form."""
        words = json.loads(self.text)
        assert isinstance(words, list)
        return words


def dockerfile() -> list[Instruction]:
    """The instructions of the Dockerfile in order, continuation lines joined, comments dropped."""
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    text = "\n".join(line for line in lines if not line.startswith("#")).replace("\\\n", " ")
    stage, found = "", []
    for line in filter(None, text.splitlines()):
        name, rest = line.split(maxsplit=1)
        if name == "FROM":
            stage = rest.split()[-1]
        found.append(Instruction(stage, name, re.sub(r" +", " ", rest)))
    return found


def only(stage: str, name: str) -> Instruction:
    """The one instruction of that name in a stage."""
    (instruction,) = (one for one in dockerfile() if (one.stage, one.name) == (stage, name))
    return instruction
