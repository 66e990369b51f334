"""What can go wrong on the way.

TransportError
├── SettingsError             the settings cannot work; exit 2
├── BrokerUnavailableError    no broker answers now; retrying may help
├── AccessDeniedError         the broker does not let us in, or not to what we need; names the setting or the ACL
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


class AccessDeniedError(TransportError):
    """The broker answers, and does not let us in or not to a topic or group; waiting does not help."""


class TopicSetupError(TransportError):
    """A topic is missing or cannot hold what the table of topics promises."""


class DeletionError(TransportError):
    """The broker does not delete messages as told."""


class EmbeddedBrokerError(TransportError):
    """The embedded broker cannot run with this build of librdkafka."""


class FatalTransportError(TransportError):
    """Going on would lose or repeat messages; the process must stop without committing."""
