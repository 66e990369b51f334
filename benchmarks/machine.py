"""What a figure was measured on and with: a figure without this is none."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Final

_PACKAGES: Final = (
    "kafka-embeddings",
    "confluent-kafka",
    "sentence-transformers",
    "torch",
    "transformers",
    "tokenizers",
)


def describe_machine() -> dict[str, object]:
    """Processor, cores, Python and versions of the packages that matter."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "packages": {package: version(package) for package in _PACKAGES},
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")
