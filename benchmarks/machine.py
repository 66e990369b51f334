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
_FEATURES: Final = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8")
"""Those of a processor that decide how fast it multiplies matrices."""


def describe_machine() -> dict[str, object]:
    """Processor, cores, Python and versions of the packages that matter."""
    return {
        "processor": _of_cpuinfo("model name") or platform.processor() or "unknown",
        "features": features(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "packages": {package: version(package) for package in _PACKAGES},
    }


def features() -> list[str]:
    """Of those that matter, the ones this processor has."""
    flags = _of_cpuinfo("flags").split()
    return [feature for feature in _FEATURES if feature in flags]


def _of_cpuinfo(field: str) -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(field)), "")
