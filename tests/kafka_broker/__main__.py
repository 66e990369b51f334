"""`python -m tests.kafka_broker`: the broker in the foreground, until Ctrl-C or SIGTERM."""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path

from . import KAFKA_VERSION, BrokerError, KafkaBroker, why_no_kafka
from .distribution import FetchError


def main() -> int:
    """Run until asked to stop: 0 then, 1 when Kafka cannot run or ends by itself."""
    parser = argparse.ArgumentParser(prog="python -m tests.kafka_broker", description=__doc__)
    parser.add_argument("--port", type=int, default=9092)
    parser.add_argument("--data", type=Path, help="folder of its data; a temporary one when left out")
    chosen = parser.parse_args()

    reason = why_no_kafka()
    if reason is not None:
        return _fail(reason)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with KafkaBroker(port=chosen.port, data=chosen.data) as broker:
            _say(f"Apache Kafka {KAFKA_VERSION} answers on {broker.bootstrap}, data in {broker.data}")
            _say("Ctrl-C stops it")
            code = broker.wait()
            return _fail(f"Kafka ended with {code}; its log:\n{broker.log_tail()}")
    except (BrokerError, FetchError) as error:
        return _fail(str(error))
    except KeyboardInterrupt:
        return 0


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _fail(reason: str) -> int:
    sys.stderr.write(reason + "\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
