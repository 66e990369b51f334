"""Compute batches with OpenVINO, once for every line that comes in; prints the seconds of each time.

    python compute.py MODEL.xml BATCHES.json DTYPE VECTORS.npy

Padding is part of the time, as it is on the other side. Requests run side by side, as many as OpenVINO thinks best
for throughput. The vectors of the first time, which is warm-up, are saved.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
import openvino
from openvino.properties.hint import PerformanceMode, inference_precision, performance_mode


class Batches:
    """A list of batches behind a compiled model.

    Args:
        model: File of the model.
        batches: Token ids of each batch's inputs.
        dtype: What matrices are multiplied in.
    """

    def __init__(self, model: str, batches: list[list[list[int]]], dtype: str) -> None:
        precision = openvino.Type.bf16 if dtype == "bfloat16" else openvino.Type.f32
        hints = {performance_mode: PerformanceMode.THROUGHPUT, inference_precision: precision}
        compiled = openvino.Core().compile_model(model, "CPU", hints)
        self._batches = batches
        self._vectors = [np.empty(0, dtype=np.float32)] * len(batches)
        self._queue = openvino.AsyncInferQueue(compiled)
        self._queue.set_callback(self._take)

    def compute(self) -> np.ndarray:
        """Vectors of all inputs, in order; shape `(inputs, dim)`."""
        for number, batch in enumerate(self._batches):
            self._queue.start_async(_padded(batch), number)
        self._queue.wait_all()
        return np.concatenate(self._vectors)

    def _take(self, request: openvino.InferRequest, number: int) -> None:
        self._vectors[number] = request.get_output_tensor().data.copy()


def _padded(batch: list[list[int]]) -> dict[str, np.ndarray]:
    ids = np.zeros((len(batch), max(map(len, batch))), dtype=np.int64)
    mask = np.zeros_like(ids)
    for row, tokens in enumerate(batch):
        ids[row, : len(tokens)] = tokens
        mask[row, : len(tokens)] = 1
    return {"input_ids": ids, "attention_mask": mask}


def main(model: str, batches: str, dtype: str, vectors: str) -> None:
    """Serve the lines."""
    computing = Batches(model, json.loads(Path(batches).read_text()), dtype)
    np.save(vectors, computing.compute())
    print("ready", flush=True)
    for _ in sys.stdin:
        started_at = time.perf_counter()
        computing.compute()
        print(time.perf_counter() - started_at, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
