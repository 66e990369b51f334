"""A producer whose messages, and the progress of the group they answer, are there together or not at all.

Used by one thread. What librdkafka reports of a transaction is sorted in one place, `verdict_of`: to be tried again,
to be aborted, or fatal. A transaction that was aborted has left nothing that a read_committed reader sees.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Final, NoReturn

import structlog
from confluent_kafka import KafkaError, KafkaException, Producer, TopicPartition

from .access import Operation, Resource, Right, denied, lacking_rights, writing
from .cluster import new_client
from .errors import BrokerUnavailableError, FatalTransportError, SettingsError
from .producer import DeliveryFailure, FailureKind, fault_of

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Mapping, Sequence

    import confluent_kafka

    from .cluster import Cluster
    from .consumer import Membership, Progress
    from .messages import Outgoing

log = structlog.get_logger("transport")

_START_SECONDS: Final = 60.0
_START_STEP_SECONDS: Final = 5.0
_AGAIN_AFTER_SECONDS: Final = 0.1
_SETTLE_SECONDS: Final = 3.0
"""A transaction is aborted then whether the broker knows of it or not: it must be over before its timeout."""
_UNKNOWN_AFTER_MS: Final = 2000
"""A topic absent this long is unknown. librdkafka's 30 s would outlast the transaction."""

_CONCURRENT_RETRY_MS: Final = 20
"""Right after a transaction the next is refused, until the broker has ended the first: librdkafka's usual 100 ms
would be the time of most."""

_COMMITTED: Final = "read_committed"
_UNTOLD: Final = frozenset({KafkaError._FATAL, KafkaError._STATE})
"""So `produce` refuses after an error that came meanwhile, whichever it was."""
_FENCED: Final = frozenset({KafkaError._FENCED, KafkaError.PRODUCER_FENCED, KafkaError.INVALID_PRODUCER_EPOCH})
_REFUSALS: Final = {
    KafkaError.INVALID_TRANSACTION_TIMEOUT: (
        "transaction_timeout_seconds is more than the brokers' transaction.max.timeout.ms: lower the first"
    ),
    KafkaError.UNSUPPORTED_VERSION: "the brokers know no transactions as we use them: take Apache Kafka 2.5 or newer",
    KafkaError._UNSUPPORTED_FEATURE: "the brokers know no transactions: take Apache Kafka 2.5 or newer",
}
"""Of a start: what the operator has to change."""


@dataclass(frozen=True, slots=True)
class Aborted:
    """A transaction that did not take place."""

    reason: str
    faults: Mapping[int, DeliveryFailure]
    """Messages that no transaction can hold, by their place in the sequence; all others may be published again."""


class Verdict(Enum):
    """What can be done about an error of a transaction."""

    AGAIN = auto()
    """The same call may be repeated."""
    ABORT = auto()
    """The transaction must be aborted; the next one may succeed."""
    FATAL = auto()
    """This producer will never commit again: it was fenced, or librdkafka gave up."""


def verdict_of(error: KafkaError) -> Verdict:
    """Sort an error of any call of the transactional API; what is none of the first two is fatal, as documented."""
    if error.fatal():
        return Verdict.FATAL
    if error.txn_requires_abort():
        return Verdict.ABORT
    return Verdict.AGAIN if error.retriable() else Verdict.FATAL


class _MustAbortError(Exception):
    """The transaction under way cannot be committed."""

    def __init__(self, reason: str, code: int | None = None) -> None:
        super().__init__(reason)
        self.code = code
        """librdkafka's, where it came from there."""


class TransactionalProducer:
    """Publishes in transactions that carry a consumer group's progress.

    Args:
        cluster: Where to publish.
        family: What the transactional ids of all such processes begin with.
        member: Tells them apart: who takes over another one's id fences its producer.
        client: Name in the broker's logs and ours.
        linger_ms: How long librdkafka gathers messages into one request.
        compression: Codec for message batches.
        timeout_seconds: After this the broker aborts a transaction left open, and fences its producer.

    Raises:
        SettingsError: The broker has no transactions, or the settings undo them.
    """

    def __init__(
        self,
        cluster: Cluster,
        family: str,
        member: str,
        client: str,
        *,
        linger_ms: float,
        compression: str,
        timeout_seconds: float,
    ) -> None:
        if not cluster.profile.has_transactions:
            raise SettingsError(
                "the embedded broker's transactions are hollow, exactly-once would promise what it cannot keep: "
                "name an Apache Kafka with --bootstrap, or leave delivery at at-least-once"
            )
        if cluster.settings.librdkafka_options().get("isolation.level", _COMMITTED) != _COMMITTED:
            raise SettingsError(
                f"exactly-once reads with isolation.level={_COMMITTED}: leave that librdkafka option out"
            )
        self._cluster = cluster
        self._family, self._id = family, family + member
        timeout_ms = int(timeout_seconds * 1000)
        config = {
            "linger.ms": linger_ms,
            "compression.type": compression,
            "queue.buffering.max.kbytes": 64 * 1024,
            "queue.buffering.max.messages": 500_000,
            "retry.backoff.ms": _CONCURRENT_RETRY_MS,
            **cluster.producer_config(client),
            "transactional.id": self._id,
            "transaction.timeout.ms": timeout_ms,
            "delivery.timeout.ms": timeout_ms,
            "topic.metadata.propagation.max.ms": _UNKNOWN_AFTER_MS,
        }
        self._producer = new_client(Producer, config)

    def start(self, stop: threading.Event) -> bool:
        """Make the transactional id known to the cluster. Blocks until it is.

        Returns:
            Whether it is; False when `stop` was set first.

        Raises:
            SettingsError: The cluster has no transactions, or not as the settings want them.
            AccessDeniedError: This user may not use them.
            BrokerUnavailableError: The cluster gave no transaction coordinator for a minute.
        """
        until = time.monotonic() + _START_SECONDS
        while not stop.is_set():
            try:
                self._producer.init_transactions(_START_STEP_SECONDS)
            except KafkaException as error:
                reason = error.args[0]
                if reason.code() == KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED:
                    needed = Right(Operation.WRITE, Resource.TRANSACTIONAL_ID, self._family, is_prefix=True)
                    raise denied(self._cluster.settings, [needed]) from error
                if verdict_of(reason) is not Verdict.AGAIN:
                    raise SettingsError(_refusal(reason)) from error
                if time.monotonic() > until:
                    raise BrokerUnavailableError(
                        f"the cluster gave no transaction coordinator in {_START_SECONDS:.0f} s: its brokers must be "
                        "as many as transaction.state.log.replication.factor says, or leave delivery at "
                        f"at-least-once ({reason.str()})"
                    ) from error
                log.warning("no transaction coordinator yet, retrying", error=reason.str())
                stop.wait(_AGAIN_AFTER_SECONDS)
            else:
                log.info("transactions ready", transactional_id=self._id)
                return True
        return False

    def transact(
        self, messages: Sequence[Outgoing], progress: Mapping[int, Progress], membership: Membership
    ) -> Aborted | None:
        """Publish messages and commit a group's progress in one transaction. Blocks until its fate is known.

        While the brokers are away it waits for them; no later than `timeout_seconds` after they are back the
        transaction is over.

        Args:
            messages: In the order they are published.
            progress: What the group is to have stored, by partition.
            membership: Of the consumer whose progress it is; the broker refuses that of an earlier generation.

        Returns:
            None when all of it is committed; else why nothing of it is.

        Raises:
            FatalTransportError: This producer was fenced, or librdkafka gave up. The group's offsets tell whether
                the transaction took place: start again from them.
        """
        faults: dict[int, DeliveryFailure] = {}
        try:
            self._repeat(self._producer.begin_transaction)
            self._produce(messages, faults)
            stored = [
                TopicPartition(membership.topic, partition, *reached) for partition, reached in progress.items()
            ]
            self._repeat(lambda: self._producer.send_offsets_to_transaction(stored, membership.metadata))
            # -1: as long as the transaction has left.
            self._repeat(lambda: self._producer.commit_transaction(-1))
        except _MustAbortError as error:
            if error.code is None:
                self._settle()
            self._repeat(lambda: self._producer.abort_transaction(-1))
            if not faults and error.code == KafkaError.TOPIC_AUTHORIZATION_FAILED:
                faults = self._denied(messages)
            # What the first message failed of tells more than what librdkafka met after it.
            reason = next(iter(faults.values())).reason if faults else str(error)
            return Aborted(reason, faults)
        return None

    def _denied(self, messages: Sequence[Outgoing]) -> dict[int, DeliveryFailure]:
        """Messages for topics that this user may not write. The broker refuses the transaction and names none."""
        lacking = lacking_rights(self._cluster, writing(*{message.topic for message in messages}))
        reasons = {right.name: f"this user lacks {right}" for right in lacking}
        return {
            place: DeliveryFailure(FailureKind.REFUSED, reasons[message.topic])
            for place, message in enumerate(messages)
            if message.topic in reasons
        }

    def _produce(self, messages: Sequence[Outgoing], faults: dict[int, DeliveryFailure]) -> None:
        def told(place: int) -> Callable[[KafkaError | None, confluent_kafka.Message], None]:
            def delivered(error: KafkaError | None, _: confluent_kafka.Message) -> None:
                fault = None if error is None else fault_of(error)
                if fault is not None:
                    faults[place] = fault

            return delivered

        for place, message in enumerate(messages):
            while not self._try_produce(message, place, told(place), faults):
                self._serve_callbacks(_AGAIN_AFTER_SECONDS)
            self._serve_callbacks(0)
        if faults:
            raise _MustAbortError(next(iter(faults.values())).reason)

    def _try_produce(
        self,
        message: Outgoing,
        place: int,
        delivered: Callable[[KafkaError | None, confluent_kafka.Message], None],
        faults: dict[int, DeliveryFailure],
    ) -> bool:
        """Hand one message to librdkafka; whether it had room."""
        try:
            self._producer.produce(
                message.topic,
                value=message.value,
                key=message.key,
                # -1: the partitioner decides.
                partition=-1 if message.partition is None else message.partition,
                headers=list(message.headers),
                on_delivery=delivered,
            )
        except BufferError:
            return False
        except KafkaException as error:
            reason: KafkaError = error.args[0]
            if reason.code() in _UNTOLD:
                self._raise_kept(error)
            fault = fault_of(reason)
            if fault is None:
                self._raise(error)
            faults[place] = fault
        return True

    def _repeat(self, call: Callable[[], object]) -> None:
        """Call until there is a verdict."""
        while True:
            try:
                call()
            except KafkaException as error:
                if verdict_of(error.args[0]) is not Verdict.AGAIN:
                    self._raise(error)
                log.warning("kafka trouble in a transaction, retrying", error=error.args[0].str())
                self._serve_callbacks(_AGAIN_AFTER_SECONDS)
            else:
                return

    def _settle(self) -> None:
        """Wait until the broker knows the partitions of what was handed over, or librdkafka has given it up.

        While it does not, for it still ends the transaction before, there is none to abort: it takes the abort for
        one of that, refuses it, and librdkafka 2.16.0 gives up (its issue 4849).
        """
        until = time.monotonic() + _SETTLE_SECONDS
        try:
            while self._producer.flush(_AGAIN_AFTER_SECONDS) and self._kept() is None and time.monotonic() < until:
                pass
        except KafkaException as error:
            if verdict_of(error.args[0]) is Verdict.FATAL:
                self._raise(error)
            log.warning("kafka trouble before an abort", error=error.args[0].str())

    def _serve_callbacks(self, seconds: float) -> None:
        """Let deliveries be told. A fatal error is raised here as well, by whichever call meets it first."""
        try:
            self._producer.poll(seconds)
        except KafkaException as error:
            self._raise(error)

    def _raise_kept(self, error: KafkaException) -> NoReturn:
        """What came before librdkafka refused: it keeps that, and tells it to the calls of transactions."""
        told: KafkaError = error.args[0]
        kept = self._kept()
        if kept is not None:
            self._raise(kept)
        raise _MustAbortError(f"{told.name()}: {told.str()}") from error

    def _kept(self) -> KafkaException | None:
        """The error that librdkafka keeps of the transaction under way; None: it has none."""
        try:
            self._producer.begin_transaction()
        except KafkaException as kept:
            if kept.args[0].fatal() or kept.args[0].txn_requires_abort():
                return kept
        return None

    def _raise(self, error: KafkaException) -> NoReturn:
        reason: KafkaError = error.args[0]
        if verdict_of(reason) is Verdict.ABORT:
            raise _MustAbortError(f"{reason.name()}: {reason.str()}", reason.code()) from error
        if reason.code() in _FENCED:
            raise FatalTransportError(
                f"transactional id {self._id} was fenced: another producer took it, or a transaction of this one was "
                "open for longer than transaction_timeout_seconds; start the worker again, it goes on at the group's "
                f"offsets ({reason.str()})"
            ) from error
        raise FatalTransportError(f"librdkafka gave up on transactions: {reason.name()}: {reason.str()}") from error


def _refusal(reason: KafkaError) -> str:
    wanted = _REFUSALS.get(reason.code(), "the cluster refuses transactions")
    return f"exactly-once cannot work here: {wanted} ({reason.name()}: {reason.str()})"
