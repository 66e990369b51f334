"""What stops `up`.

UpError
└── ChildKeepsDyingError   a worker or API that cannot stay alive; exit 1
"""

from __future__ import annotations


class UpError(Exception):
    """Base of what `up` raises."""


class ChildKeepsDyingError(UpError):
    """A child process dies again and again."""
