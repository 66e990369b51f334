"""Runs every benchmark, one after the other, keeps their results, and draws them.

    python -m benchmarks.everything --bootstrap HOST:PORT
    python -m benchmarks.everything --only engine pipeline

Those that need a broker get the one given, or the embedded one. One that fails leaves its last result as it was, and
the others are run; a machine without a GPU leaves `gpu` out, one without Java and Maven `outage`, and without a
Kafka given `delivery` is left out.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from typing import TYPE_CHECKING, Final

from . import draw
from .figures import FIGURES

if TYPE_CHECKING:
    from collections.abc import Sequence

_WITHOUT_BROKER: Final = frozenset({"engine", "openvino", "duplicates", "outage"})
_MAY_LACK: Final = frozenset({"gpu", "outage", "delivery"})
_LACKS: Final = 2
"""What those end with where there is no GPU, no Java to run three brokers, or no Kafka."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run them.

    Raises:
        SystemExit: With 1, when one failed.
    """
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--bootstrap", default="", help="a Kafka broker; none given: the embedded one")
    parser.add_argument("--only", nargs="+", choices=list(FIGURES), default=list(FIGURES), help="these")
    options = parser.parse_args(arguments)
    failed = [name for name in options.only if not _run(name, options.bootstrap)]
    draw.main()
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}")


def command(name: str, bootstrap: str) -> list[str]:
    """The command line of one benchmark."""
    place = ["--bootstrap", bootstrap] if bootstrap and name not in _WITHOUT_BROKER else []
    return [sys.executable, "-m", f"benchmarks.{name}", "--json", str(draw.RESULTS / f"{name}.json"), *place]


def _run(name: str, bootstrap: str) -> bool:
    print(f"\n=== {name}", flush=True)
    status = subprocess.run(command(name, bootstrap), check=False).returncode
    return status == 0 or (name in _MAY_LACK and status == _LACKS)


if __name__ == "__main__":
    main()
