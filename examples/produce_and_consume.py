"""A JSON message in, the response keyed by its id out, with nothing but a Kafka client.

python examples/produce_and_consume.py --bootstrap 127.0.0.1:9092
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import uuid
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bootstrap", default="127.0.0.1:9092")
    parser.add_argument("--prefix", default="embedding", help="first part of the topics' names")
    parser.add_argument("--timeout", type=float, default=60, help="seconds until it gives up")
    args = parser.parse_args()
    until = time.monotonic() + args.timeout

    # The id names the response. As the key it also keeps the requests of one document in order.
    document_id = f"doc-{uuid.uuid4().hex[:8]}"
    request = {
        "id": document_id,
        "model": "all-MiniLM-L6-v2",
        "input": "Kafka in, vectors out.",
        "metadata": {"url": "https://example.org/a"},
    }
    publish(args.bootstrap, f"{args.prefix}.requests", document_id, request, args.timeout)

    # A consumer of your own, in a group of your own. `earliest`, so that a response that is there before the
    # group has its partitions is not missed.
    consumer = Consumer(
        {
            "bootstrap.servers": args.bootstrap,
            "group.id": f"{args.prefix}.example",
            "auto.offset.reset": "earliest",
            # Joins at once, on Kafka 4.0 and later and on the embedded broker. Leave it out on older clusters.
            "group.protocol": "consumer",
        }
    )
    consumer.subscribe([f"{args.prefix}.responses"])
    try:
        while time.monotonic() < until:
            message = consumer.poll(0.5)
            if message is None:
                continue
            if message.error():
                raise KafkaException(message.error())
            if message.key() == document_id.encode():
                return show(json.loads(message.value()))
    finally:
        consumer.close()
    print(f"no response within {args.timeout:g} s: is a worker running?", file=sys.stderr)
    return 1


def publish(bootstrap: str, topic: str, key: str, request: dict[str, Any], timeout: float) -> None:
    """Send one message and wait until the broker has it."""
    failures = []

    def delivered(error: KafkaError | None, _: Message) -> None:
        if error is not None:
            failures.append(error.str())

    producer = Producer({"bootstrap.servers": bootstrap, "message.timeout.ms": int(timeout * 1000)})
    producer.produce(topic, key=key, value=json.dumps(request), on_delivery=delivered)
    if producer.flush(timeout) or failures:
        raise SystemExit(f"not published to {topic}: {failures[0] if failures else 'no broker answers'}")


def show(response: dict[str, Any]) -> int:
    # A request that cannot be computed is answered too: with `error` in place of `data`.
    if "error" in response:
        print(f"error: {response['error']}", file=sys.stderr)
        return 1
    vector = response["data"][0]["embedding"]
    print(f"{response['id']}: {len(vector)} numbers, {response['usage']['prompt_tokens']} tokens")
    print(f"metadata as sent: {response['metadata']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
