"""What stops a command that supervises other processes.

ChildError
├── ChildKeepsDyingError   a worker or API that cannot stay alive; exit 1
├── ChildSettingsError     a worker or API whose settings cannot work; exit 2
└── ChildStopError         a worker that was told to stop and did not end well; exit 1
"""

from __future__ import annotations


class ChildError(Exception):
    """Base of what child processes stop a command with."""


class ChildKeepsDyingError(ChildError):
    """A child process dies again and again."""


class ChildSettingsError(ChildError):
    """A child process says that its settings cannot work; started again, it would say the same."""


class ChildStopError(ChildError):
    """A child process did not stop as told; what it had not answered is not committed, and answered again."""
