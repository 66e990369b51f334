"""`worker/planning.py`: a request's model is the one here, or a neighbour whose topic is named."""

from __future__ import annotations

import pytest

from schemas.errors import ErrorCode, RequestError
from schemas.requests import EmbeddingBody, InputType
from schemas.topics import Lane, TopicNames
from worker.planning import Planning
from worker.settings import ModelSettings

from .fakes import MODEL, a_card

HERE = a_card(prefixes={InputType.QUERY: "q: ", None: "d: "})
OTHERS = [ModelSettings(name="other", aliases=["o"], slug="other"), ModelSettings(name=f"{MODEL}-passage", slug="p")]


def body(model: str) -> EmbeddingBody:
    return EmbeddingBody(model=model, input="a text")


@pytest.mark.parametrize(
    ("model", "topic"),
    [
        ("other", "x.other.requests"),
        ("o", "x.other.requests"),
        ("other-query", "x.other.requests"),
        (f"{MODEL}-passage", "x.p.requests"),
    ],
)
def test_a_neighbours_request_is_told_its_topic_on_its_lane(model: str, topic: str) -> None:
    planning = Planning(HERE, TopicNames("x"), OTHERS)
    for lane, right in ((Lane.BULK, topic), (Lane.INTERACTIVE, f"{topic}.interactive")):
        with pytest.raises(RequestError) as refused:
            planning.plan(body(model), lane)
        assert (refused.value.code, refused.value.param) == (ErrorCode.WRONG_TOPIC, "model")
        assert refused.value.message.endswith(f"publish to {right}")


def test_the_model_here_is_planned_and_an_unknown_one_is_not_found() -> None:
    planning = Planning(HERE, TopicNames(), OTHERS)
    assert planning.plan(body(f"{MODEL}-query"), Lane.BULK).role is InputType.QUERY
    with pytest.raises(RequestError) as refused:
        planning.plan(body("unknown"), Lane.BULK)
    assert refused.value.code is ErrorCode.MODEL_NOT_FOUND


def test_without_neighbours_a_suffix_means_a_role() -> None:
    assert Planning(HERE, TopicNames()).plan(body(f"{MODEL}-passage"), Lane.BULK).role is InputType.PASSAGE


def test_a_prefix_is_that_of_the_role_and_none_where_there_is_none() -> None:
    planning = Planning(HERE, TopicNames())
    assert [planning.prefix(role) for role in (InputType.QUERY, InputType.PASSAGE, None)] == ["q: ", "", "d: "]
