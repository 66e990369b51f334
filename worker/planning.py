"""Holds each request against the model served here, and its name against the installation's others. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from schemas.errors import ErrorCode, RequestError
from schemas.served_model import Plan, models_named, plan
from schemas.topics import Lane, TopicNames

if TYPE_CHECKING:
    from collections.abc import Sequence

    from schemas.requests import EmbeddingBody, InputType

    from .encoder.interface import ModelCard
    from .settings import ModelSettings


class Planning:
    """Decides how a request is computed, or why it is not.

    Args:
        card: The model served here.
        topics: Names of its topics.
        neighbours: The installation's other models, which have request topics of their own.
    """

    def __init__(self, card: ModelCard, topics: TopicNames, neighbours: Sequence[ModelSettings] = ()) -> None:
        self._card = card
        self._topics = topics
        self._everyone: list[ModelCard | ModelSettings] = [card, *neighbours]

    def plan(self, body: EmbeddingBody, lane: Lane) -> Plan:
        """How to compute a request that came in on a lane.

        Raises:
            RequestError: `wrong_topic` for a model that is served elsewhere, else as `schemas.served_model.plan`.
        """
        meant = models_named(body.model, self._everyone)
        if meant and meant[0] is not self._card:
            right = TopicNames(self._topics.prefix, meant[0].slug).requests_of(lane)
            raise RequestError(
                ErrorCode.WRONG_TOPIC,
                f"model {body.model!r} is not served from this topic: publish to {right}",
                param="model",
            )
        return plan(body, self._card)

    def prefix(self, role: InputType | None) -> str:
        """Text put before an input, by its role."""
        return self._card.prefixes.get(role, "")
