"""What can go wrong on the way.

TransportError
├── SettingsError             the settings cannot work; exit 2
├── BrokerUnavailableError    no broker answers now; retrying may help
├── TopicSetupError           a topic is missing or does not fit; names the command or setting
├── DeletionError             the broker does not delete messages as told; others may be deleted
├── EmbeddedBrokerError       the embedded broker cannot run here
└── FatalTransportError       librdkafka gave up, or access is denied: stop without committing
"""

from __future__ import annotations


class TransportError(Exception):
    """Base of what this package raises."""


class SettingsError(TransportError):
    """The settings cannot work as given."""


class BrokerUnavailableError(TransportError):
    """No broker answers at the given address; transient."""


class TopicSetupError(TransportError):
    """A topic is missing or cannot hold what the table of topics promises."""


class DeletionError(TransportError):
    """The broker does not delete messages as told."""


class EmbeddedBrokerError(TransportError):
    """The embedded broker cannot run with this build of librdkafka."""


class FatalTransportError(TransportError):
    """Going on would lose or repeat messages; the process must stop without committing."""
