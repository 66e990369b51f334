"""Vectors of inputs that came before, bounded in bytes; the one that was not asked for the longest goes first."""

from __future__ import annotations

import hashlib
from array import array
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from numpy.typing import NDArray

_ENTRY_BYTES: Final = 320
"""What an entry takes beside its numbers, for key, order and the array's own header; 200 to 315 were measured."""


def fingerprint(ids: Sequence[int] | NDArray[np.integer[Any]], dim: int, unpooled: int = 0) -> bytes:
    """16 bytes that stand for an input's token ids, the length of its vector, and what pooling leaves out.

    Two different inputs share them once in about 2**64 inputs.
    """
    packed = ids.astype(np.int32).tobytes() if isinstance(ids, np.ndarray) else array("i", ids).tobytes()
    return hashlib.blake2b(
        packed, digest_size=16, salt=dim.to_bytes(8, "little"), person=unpooled.to_bytes(8, "little")
    ).digest()


class VectorCache:
    """Vectors by what stands for their inputs. Not thread-safe.

    Args:
        max_bytes: Bound of all it holds.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._vectors: OrderedDict[Hashable, NDArray[np.float32]] = OrderedDict()
        self.bytes = 0
        """What it holds."""

    def __len__(self) -> int:
        return len(self._vectors)

    def get(self, key: Hashable) -> NDArray[np.float32] | None:
        """The vector, shape `(dim,)`, read-only; None when it is not, or no longer, there."""
        vector = self._vectors.get(key)
        if vector is not None:
            self._vectors.move_to_end(key)
        return vector

    def put(self, key: Hashable, vector: NDArray[np.float32]) -> None:
        """Keep a copy, since a row would hold its whole batch; one larger than the bound is not kept."""
        taken = vector.nbytes + _ENTRY_BYTES
        if taken > self._max_bytes or key in self._vectors:
            return
        while self.bytes + taken > self._max_bytes:
            _, oldest = self._vectors.popitem(last=False)
            self.bytes -= oldest.nbytes + _ENTRY_BYTES
        kept = np.array(vector, dtype=np.float32)
        kept.flags.writeable = False
        self._vectors[key] = kept
        self.bytes += taken
