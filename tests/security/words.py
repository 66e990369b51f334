"""Rights as the refusals name them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from confluent_kafka.admin import ResourcePatternType, ResourceType

if TYPE_CHECKING:
    from confluent_kafka.admin import AclBinding

_NAMES: Final = {
    ResourceType.TOPIC: "topic",
    ResourceType.GROUP: "group",
    ResourceType.TRANSACTIONAL_ID: "transactional-id",
}


def in_words(right: AclBinding) -> str:
    """Operation, kind of resource and name."""
    every = "*" if right.resource_pattern_type is ResourcePatternType.PREFIXED else ""
    return f"{right.operation.name.capitalize()} {_NAMES[right.restype]} {right.name}{every}"
