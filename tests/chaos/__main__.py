"""The long run: python -m tests.chaos --seed 1 --requests 1000000 --report FILE.

Exit status 0 when every promise was kept, 1 when one was broken or not everything went wrong that was to.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from pathlib import Path

from tests.kafka_broker import KafkaBroker, KafkaController

from .broken import REMOVED
from .report import as_fields, as_text
from .run import EXACTLY_ONCE, Plan, run
from .schedule import FaultKind

_FLAGS = {
    FaultKind.KILL_WORKER: ("--worker-kills", 20),
    FaultKind.STOP_WORKER: ("--worker-stops", 5),
    FaultKind.RESTART_WORKER: ("--worker-restarts", 5),
    FaultKind.JOIN_AND_LEAVE: ("--rebalances", 20),
    FaultKind.KILL_BROKER: ("--broker-kills", 5),
    FaultKind.STOP_BROKER: ("--broker-stops", 5),
}


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> int:
    """Run once and report."""
    options = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__.splitlines()[0])
    options.add_argument("--seed", type=int, help="of requests and faults; none given: any")
    options.add_argument("--requests", type=int, default=1_000_000)
    options.add_argument("--workers", type=int, default=2, help="those that stay")
    options.add_argument("--encoder", choices=["null", "auto"], default="null", help="auto: the real default model")
    options.add_argument("--delivery", choices=["at-least-once", EXACTLY_ONCE], default="at-least-once")
    options.add_argument("--seconds", type=float, default=0.0, help="time that sending takes at least")
    options.add_argument("--most-seconds", type=float, help="time after which nothing more is sent")
    options.add_argument(
        "--removed", choices=sorted(REMOVED), metavar="GUARD", help="one that the workers run without"
    )
    options.add_argument("--logs", type=Path, help="folder for what workers and broker have logged")
    options.add_argument("--report", type=Path, help="write everything there, as JSON")
    for kind, (flag, count) in _FLAGS.items():
        options.add_argument(flag, dest=kind.name, metavar="COUNT", type=int, default=count, help=kind.value)
    chosen = options.parse_args()

    seed = random.randrange(1_000_000) if chosen.seed is None else chosen.seed
    _say(f"seed {seed}")
    plan = Plan(
        seed=seed,
        requests=chosen.requests,
        faults={kind: getattr(chosen, kind.name) for kind in _FLAGS},
        delivery=chosen.delivery,
        workers=chosen.workers,
        encoder=chosen.encoder,
        seconds=chosen.seconds,
        most_seconds=chosen.most_seconds,
        removed=chosen.removed,
    )
    with KafkaBroker(controller=KafkaController()) as broker:
        outcome = run(plan, broker.bootstrap, broker, say=_say, logs=chosen.logs)
    _say(as_text(outcome))
    if chosen.report is not None:
        chosen.report.write_text(json.dumps(as_fields(outcome), indent=1) + "\n")
    return 0 if outcome.holds else 1


if __name__ == "__main__":
    sys.exit(main())
