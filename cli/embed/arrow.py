"""Whether pyarrow is there; imported before any module that needs it."""

from __future__ import annotations

from importlib.util import find_spec

from .errors import MissingPackageError


def require_pyarrow() -> None:
    """Raise a line that names the install command, unless pyarrow can be imported.

    Raises:
        MissingPackageError: pyarrow is not installed.
    """
    if find_spec("pyarrow") is None:
        raise MissingPackageError("Parquet needs pyarrow: pip install 'kafka-embeddings[embed]'")
