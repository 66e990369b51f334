"""Scripts in place of the worker's command: publishes that fail now and then, and guards removed."""

from __future__ import annotations

from typing import Final

FAILING_SHARE: Final = "CHAOS_FAILING_SHARE"
"""Variable: the share of publishes that fail, and again of those that take long."""
DICE: Final = "CHAOS_DICE"
"""Variable: what decides which of a worker's publishes these are."""
SLOW_SECONDS: Final = 0.2
MOST_ABORTED: Final = "CHAOS_MOST_ABORTED"
"""Variable: the largest share of transactions that fail, and again of those that take long."""
MOST_FAILED: Final = 0.2
"""Share of publishes, in runs of few requests."""
MADE_TO_FAIL: Final = '{"chaos": "a publish is made to fail"}'
MADE_SLOW: Final = '{"chaos": "a publish is made to take long"}'
"""Lines on standard error, one for each."""

_FAILING: Final = f"""
import os, random, sys, time
from transport.producer import DeliveringProducer, DeliveryFailure, FailureKind
from transport.transactional_producer import TransactionalProducer, _MustAbortError

most_aborted = float(os.environ.get("{MOST_ABORTED}", 0))
share_of_publishes, dice = float(os.environ.get("{FAILING_SHARE}", 0)), random.Random(os.environ.get("{DICE}"))
try_produce, produce_all = DeliveringProducer.try_produce, TransactionalProducer._produce

def is_made_to_fail(share):
    roll = dice.random()
    if roll < share:
        print('{MADE_TO_FAIL}', file=sys.stderr, flush=True)
    elif roll < 2 * share:
        print('{MADE_SLOW}', file=sys.stderr, flush=True)
        time.sleep({SLOW_SECONDS})
    return roll < share

def fails_now_and_then(self, topic, *, key, on_delivery, **others):
    # Not those of a document: a broker that fails them fails the later ones too, and so keeps their order.
    is_spared = topic.endswith(".workers") or (key or b"").startswith(b"doc-")
    if not is_spared and is_made_to_fail(min(share_of_publishes, {MOST_FAILED})):
        on_delivery(DeliveryFailure(FailureKind.TRANSIENT, "made to fail"))
        return True
    return try_produce(self, topic, key=key, on_delivery=on_delivery, **others)

def is_aborted(messages):
    # It fails as a whole, and one of thousands of messages must have its chance.
    return is_made_to_fail(min(share_of_publishes * len(messages), most_aborted))

def aborts_now_and_then(self, messages, faults):
    if not is_aborted(messages):
        return produce_all(self, messages, faults)
    produce_all(self, messages[: dice.randrange(len(messages))], faults)
    raise _MustAbortError("made to fail")

DeliveringProducer.try_produce = fails_now_and_then
TransactionalProducer._produce = aborts_now_and_then
"""

_RUN: Final = """
from cli.main import run

run()
"""

REMOVED: Final = {
    # The watermark: what was read counts as done.
    "commits what was read": """
from transport.offsets import OffsetTracker

submit = OffsetTracker.submit

def done_at_once(self, partition, offset):
    submitted, skipped = submit(self, partition, offset)
    self._partitions[partition].done_offset = offset + 1
    return submitted, skipped

OffsetTracker.submit = done_at_once
""",
    # The acknowledgement: what is handed to the producer counts as answered.
    "commits before the broker has the answer": """
from worker.publisher import Publisher

produce, acknowledged = Publisher._produce, Publisher._acknowledged

def counts_at_once(self, published, *rest):
    produce(self, published, *rest)
    acknowledged(self, published.item)

Publisher._produce = counts_at_once
Publisher._acknowledged = lambda self, item: None
""",
    # The retry of a publish that failed.
    "drops an answer that could not be published": """
from worker.publisher import Publisher

Publisher._recover = lambda self, undelivered: self._acknowledged(undelivered.published.item)
""",
    # The watermark again: the highest offset answered counts, whatever is open below it.
    "commits past an open request": """
from transport.offsets import OffsetTracker

acknowledge = OffsetTracker.acknowledge

def passes_the_open(self, submitted):
    acknowledge(self, submitted)
    state = self._partitions.get(submitted.partition)
    if state is not None:
        state.done_offset = max(state.done_offset or 0, submitted.offset + 1)

OffsetTracker.acknowledge = passes_the_open
""",
    # Epochs: what was read under an earlier assignment still counts.
    "publishes for partitions it has lost": """
from transport.offsets import OffsetTracker

OffsetTracker.is_current = lambda self, submitted: True
""",
    # The order of a key's answers.
    "answers a key in any order": """
from worker.ordering import KeyOrder

KeyOrder.finish = lambda self, item: [item]
""",
    # Which row of a batch is whose.
    "mixes up the rows of a batch": """
import numpy as np
from worker.encoder.stage import EncoderStage

deliver = EncoderStage._deliver
EncoderStage._deliver = lambda self, inputs, vectors: deliver(self, inputs, np.roll(vectors, 1, axis=0))
""",
    # The dead letter beside an error response.
    "keeps no dead letters": """
from worker.publisher import Publisher

Publisher._dead_letter = lambda self, item, error, shortened=0: self._acknowledged(item)
""",
    # The wait for what is under way of a partition that leaves; what is not done is committed all the same.
    "commits all it has read of a partition that leaves": """
from worker.intake import Intake

revoked = Intake.revoked

def gives_all_up(self, partitions):
    tracker = self._offsets.tracker
    for partition in partitions:
        state = tracker._partitions.get(partition)
        if state is not None and state.expected_offset is not None:
            state.done_offset = state.expected_offset
    self._offsets.commit(self._consumer, partitions)
    self.lost(partitions)

Intake.revoked = gives_all_up
""",
    # The pause of intake.
    "reads on however much is under way": """
from worker.intake import Intake

Intake._pause_or_resume = lambda self, consumer: None
""",
    # Exactly once: an aborted transaction's answers are kept for the next one.
    "drops what was in an aborted transaction": """
from worker.outbox import Outbox

def dropped(self, transaction, faults):
    for held in transaction.held:
        held.on_delivery(None)

Outbox.put_back = dropped
""",
    # Exactly once: a transaction holds the answers of all that it commits.
    "commits in a transaction what it has read": """
from dataclasses import replace
from worker.encoder.null import NullEncoder
from worker.outbox import Outbox

cut, encode = Outbox.cut, NullEncoder.encode

def takes_a_while(*batch):
    # So that there is always something that is read and not answered.
    time.sleep(0.5)
    return encode(*batch)

NullEncoder.encode = takes_a_while

def commits_what_was_read(self, max_bytes, partitions=None):
    transaction = cut(self, max_bytes, partitions)
    states = self._tracker._partitions
    return transaction and replace(
        transaction, offsets={partition: states[partition].expected_offset for partition in transaction.offsets}
    )

Outbox.cut = commits_what_was_read
""",
    # Exactly once: the answers are in the transaction.
    "publishes beside its transactions": """
from confluent_kafka import Producer
from transport.transactional_producer import Aborted, TransactionalProducer

plains, transact = {}, TransactionalProducer.transact

def beside(self, messages, progress, membership):
    plain = plains.get(self) or plains.setdefault(self, Producer(self._cluster.producer_config("beside")))
    for message in messages:
        partition = -1 if message.partition is None else message.partition
        plain.produce(message.topic, message.value, message.key, partition, headers=list(message.headers))
    plain.flush()
    if is_aborted(messages):
        return Aborted("made to fail", {})
    return transact(self, [], progress, membership)

TransactionalProducer.transact = beside
""",
}
"""Guards of the worker, by what a worker without it does."""


def worker_script(removed: str | None = None) -> str:
    """Python that runs the worker's command.

    Args:
        removed: The guard to leave out, a key of `REMOVED`.
    """
    return _FAILING + ("" if removed is None else REMOVED[removed]) + _RUN
