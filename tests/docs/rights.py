"""The rights that `docs/security.md` lists: its table, and its commands of Kafka's own tool, as bindings."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, Final

from confluent_kafka.admin import AclBinding, AclOperation, AclPermissionType, ResourcePatternType, ResourceType

from schemas.topics import DEFAULT_PREFIX

from .pages import DOCS

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE: Final = DOCS / "security.md"
_ROW: Final = re.compile(r"^\| `([\w-]+)` \| `(\w+)` \| (topic|group|transactional id)s? `([^`]+)` \|", re.MULTILINE)
_OPERATIONS: Final = {
    "Create": AclOperation.CREATE,
    "Delete": AclOperation.DELETE,
    "Describe": AclOperation.DESCRIBE,
    "DescribeConfigs": AclOperation.DESCRIBE_CONFIGS,
    "Read": AclOperation.READ,
    "Write": AclOperation.WRITE,
}
_KINDS: Final = {
    "topic": ResourceType.TOPIC,
    "group": ResourceType.GROUP,
    "transactional id": ResourceType.TRANSACTIONAL_ID,
}
_WORDS: Final = {kind: name.replace(" ", "-") for name, kind in _KINDS.items()}


def rights(process: str, prefix: str = DEFAULT_PREFIX) -> list[AclBinding]:
    """The rows of one process, for its user; names under another prefix, if one is given."""
    return [
        _binding(process, operation, kind, name.removesuffix("*"), prefixed=name.endswith("*"), prefix=prefix)
        for who, operation, kind, name in _ROW.findall(PAGE.read_text())
        if who == process
    ]


def in_words(right: AclBinding) -> str:
    """As refusals name it: operation, kind of resource and name."""
    every = "*" if right.resource_pattern_type is ResourcePatternType.PREFIXED else ""
    return f"{right.operation.name.capitalize()} {_WORDS[right.restype]} {right.name}{every}"


def processes() -> list[str]:
    """Who has rows, in the order of the table."""
    return list(dict.fromkeys(who for who, *_ in _ROW.findall(PAGE.read_text())))


def given_by(commands: str) -> Iterator[AclBinding]:
    """What command lines of `kafka-acls.sh --add` give."""
    for line in commands.splitlines():
        words = shlex.split(line)
        assert words[:2] == ["kafka-acls.sh", "--bootstrap-server"]
        assert words[3] == "--add"
        flags: dict[str, list[str]] = {}
        for flag, value in zip(words[4::2], words[5::2], strict=True):
            flags.setdefault(flag, []).append(value)
        [principal] = flags.pop("--allow-principal")
        prefixed = flags.pop("--resource-pattern-type", ["literal"]) == ["prefixed"]
        operations = flags.pop("--operation")
        assert set(flags) <= {"--topic", "--group", "--transactional-id"}
        for flag, names in flags.items():
            for name in names:
                for operation in operations:
                    kind = flag.removeprefix("--").replace("-", " ")
                    yield _binding(principal.removeprefix("User:"), operation, kind, name, prefixed=prefixed)


def _binding(
    user: str, operation: str, kind: str, name: str, *, prefixed: bool, prefix: str = DEFAULT_PREFIX
) -> AclBinding:
    own = name.removeprefix(f"{DEFAULT_PREFIX}.")
    return AclBinding(
        _KINDS[kind],
        f"{prefix}.{own}" if own != name else f"{prefix}-{name}" if prefix != DEFAULT_PREFIX else name,
        ResourcePatternType.PREFIXED if prefixed else ResourcePatternType.LITERAL,
        f"User:{user}",
        "*",
        _OPERATIONS[operation],
        AclPermissionType.ALLOW,
    )
