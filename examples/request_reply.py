"""Ask and wait for the reply, over topics: what the API does, in one page of a plain Kafka client.

python examples/request_reply.py --bootstrap 127.0.0.1:9092 "how do I read a file?"
"""

from __future__ import annotations

import argparse
import base64
import json
import secrets
import struct
import sys
import time
from typing import Any

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

PARTITION = 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("text", nargs="?", default="how do I read a file?")
    parser.add_argument("--bootstrap", default="127.0.0.1:9092")
    parser.add_argument("--prefix", default="embedding", help="first part of the topics' names")
    parser.add_argument("--timeout", type=float, default=30, help="seconds until nobody waits any more")
    args = parser.parse_args()
    until = time.monotonic() + args.timeout
    replies = f"{args.prefix}.replies"

    # 1. Where the replies will come: one partition, assigned at the end offset it has now, before anything is sent.
    #    Leaving "the end" to the broker loses the replies that come before the first fetch. No group, no commits.
    consumer = Consumer(
        {
            "bootstrap.servers": args.bootstrap,
            "group.id": "never-joined",
            "enable.auto.commit": False,
            "fetch.wait.max.ms": 10,
        }
    )
    try:
        _, end = consumer.get_watermark_offsets(TopicPartition(replies, PARTITION), timeout=args.timeout)
    except KafkaException as error:
        raise SystemExit(f"cannot read the end of {replies}: {error.args[0].str()}") from None
    consumer.assign([TopicPartition(replies, PARTITION, end)])

    # 2. The request, on the lane for callers who wait. The three kafka_ headers are Spring's.
    correlation_id = secrets.token_bytes(16)
    request = {
        "id": correlation_id.hex(),
        "model": "all-MiniLM-L6-v2",
        "input": args.text,
        "input_type": "query",
        "encoding_format": "base64",
    }
    producer = Producer({"bootstrap.servers": args.bootstrap, "linger.ms": 0})
    sent_at = time.monotonic()
    producer.produce(
        f"{args.prefix}.requests.interactive",
        key=request["id"],
        value=json.dumps(request),
        headers=[
            ("kafka_correlationId", correlation_id),
            ("kafka_replyTopic", replies.encode()),
            ("kafka_replyPartition", struct.pack(">i", PARTITION)),
            ("deadline", str(int((time.time() + args.timeout) * 1000)).encode()),
        ],
    )
    producer.poll(0)

    # 3. The reply is the one with our correlation id. Others share the partition: drop theirs.
    try:
        while time.monotonic() < until:
            producer.poll(0)
            message = consumer.poll(0.1)
            if message is None:
                continue
            if message.error():
                raise KafkaException(message.error())
            if dict(message.headers() or ()).get("kafka_correlationId") == correlation_id:
                return show(json.loads(message.value()), time.monotonic() - sent_at)
    finally:
        consumer.close()
    print(f"no reply within {args.timeout:g} s: is a worker running?", file=sys.stderr)
    return 1


def show(reply: dict[str, Any], seconds: float) -> int:
    if "error" in reply:
        print(f"error: {reply['error']}", file=sys.stderr)
        return 1
    # base64 of little-endian float32: about half the bytes of JSON numbers, and exactly the same vector.
    content = base64.b64decode(reply["data"][0]["embedding"])
    vector = struct.unpack(f"<{len(content) // 4}f", content)
    print(f"{len(vector)} numbers after {seconds * 1000:.0f} ms, the first three: {vector[:3]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
