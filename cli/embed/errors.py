"""What stops an embed run; each message is one line that names the next move.

The tree of exceptions:

    EmbedError
    ├── InputError             the input cannot be read as asked
    ├── OutputError            the output cannot be written, or holds something already
    ├── ResumeError            what is there is no earlier part of this run
    ├── MissingPackageError    pyarrow is not installed
    └── EmbedderError          the embedder failed, or refused the run itself rather than a row
        └── NoAnswerError      answers have stopped coming
"""

from __future__ import annotations


class EmbedError(Exception):
    """Base of what this package raises."""


class InputError(EmbedError):
    """The input cannot be read as asked."""


class OutputError(EmbedError):
    """The output cannot be written, or holds something already."""


class ResumeError(EmbedError):
    """What is there is no earlier part of this run. Nothing of it was changed."""


class MissingPackageError(EmbedError):
    """A package of the `embed` extra is not installed."""


class EmbedderError(EmbedError):
    """The embedder failed, or refused the run itself; rows before the failure are in the output."""


class NoAnswerError(EmbedderError):
    """Answers have stopped coming; whatever was awaited was given up."""
