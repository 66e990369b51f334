"""How many tokens of one batch suit a device: tried out at start, and remembered.

Too few, and the device starts batches more than it computes; too many, and a CPU's caches overflow. The smallest
budget that is within 5 % of the fastest is taken: smaller batches let interactive inputs in sooner.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import structlog

from schemas.requests import Truncate

from ..errors import DeviceMemoryError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .interface import LoadedModel

log = structlog.get_logger("worker")

CANDIDATES: Final[Mapping[str, tuple[int, ...]]] = {
    "cpu": (512, 1024, 2048, 4096),
    "cuda": (8_192, 16_384, 32_768, 65_536),
}
"""Budgets that are tried, by kind of device."""
_GENERATION: Final = 2
_NEARLY_AS_FAST: Final = 0.95
_PASSES: Final = 2
"""The faster one counts: a neighbour may have taken a core during the other."""
_MOST_SECONDS: Final = 4.0
"""After that no larger budget is tried: a device so slow gains nothing by it."""
_TEXT: Final = "Kafka in, vectors out: a batch of texts of one length, to see how fast this device is. "


def calibrated_budget(model: LoadedModel, folder: Path | None, clock: Callable[[], float] = time.perf_counter) -> int:
    """Tokens of one batch for this model on this device; takes a few seconds the first time.

    Args:
        model: Loaded, and computing for nobody else.
        folder: Where what was found is remembered; None: nowhere.
        clock: Seconds.
    """
    candidates = CANDIDATES.get(model.card.device.split(":")[0])
    if candidates is None:
        return model.card.budget_tokens
    file = None if folder is None else folder / "budgets.json"
    key = _key(model)
    known = _read(file)
    if key not in known:
        known[key] = _fastest(_speeds(model, candidates, clock))
        log.info("batch budget found", tokens=known[key])
        _write(file, known)
    return known[key]


def default_folder() -> Path | None:
    """The user's folder for caches; None where there is none.

    Source: https://specifications.freedesktop.org/basedir-spec
    """
    given = os.environ.get("XDG_CACHE_HOME")
    if given:
        return Path(given) / "kafka-embeddings"
    try:
        return Path.home() / ".cache" / "kafka-embeddings"
    except RuntimeError:
        return None


def _speeds(model: LoadedModel, candidates: tuple[int, ...], clock: Callable[[], float]) -> dict[int, float]:
    """Tokens a second by budget."""
    [tokens] = model.tokenizer.tokenize([_TEXT * 8], [Truncate.END])
    row, dim = list(tokens.ids), model.card.dim
    model.encoder.encode([row], [dim])
    speeds: dict[int, float] = {}
    began_at = clock()
    for budget in candidates:
        rows = max(1, budget // len(row))
        fastest = float("inf")
        for _ in range(_PASSES):
            started_at = clock()
            try:
                model.encoder.encode([row] * rows, [dim] * rows)
            except DeviceMemoryError:
                return speeds or {max(1, budget // 2): 1.0}
            fastest = min(fastest, clock() - started_at)
        speeds[budget] = rows * len(row) / max(fastest, 1e-9)
        if clock() - began_at > _MOST_SECONDS:
            break
    return speeds


def _fastest(speeds: Mapping[int, float]) -> int:
    best = max(speeds.values())
    return next(budget for budget, speed in speeds.items() if speed >= _NEARLY_AS_FAST * best)


def _key(model: LoadedModel) -> str:
    """All that a budget depends on; a new `_GENERATION` forgets those of a slower or faster pass."""
    card, limits = model.card, model.encoder.limits
    return "/".join(
        map(
            str, (_GENERATION, card.revision, card.device, card.dtype, limits.slots, limits.is_padded, os.cpu_count())
        )
    )


def _read(file: Path | None) -> dict[str, int]:
    try:
        known = json.loads(file.read_bytes()) if file is not None else {}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        log.warning("cannot read remembered budgets, trying again", file=str(file), error=str(error))
        return {}
    if not isinstance(known, dict):
        return {}
    return {key: budget for key, budget in known.items() if isinstance(budget, int) and budget > 0}


def _write(file: Path | None, known: Mapping[str, int]) -> None:
    if file is None:
        return
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        fresh = file.with_suffix(f".{os.getpid()}")
        fresh.write_text(json.dumps(dict(known), indent=2))
        fresh.replace(file)
    except OSError as error:
        log.warning("cannot remember the budget", file=str(file), error=str(error))
