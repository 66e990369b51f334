"""Models of three shapes on a GPU: tokens a second, against `encode`, packed against padded, and the busy share.

    python -m benchmarks.gpu
    python -m benchmarks.gpu --shapes large --bootstrap HOST:PORT

Weights are made up, since speed does not depend on them; the tokenizer is the packaged model's. Where there is no
CUDA device the command says so and exits with 2. `--device cpu --shapes tiny` tries everything but the figures.
"""

from __future__ import annotations

import subprocess
import tempfile
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from schemas.requests import Truncate

from .command import measuring, parser
from .corpus import mixed_texts
from .encoding import Encoding, cut
from .engine_in_process import EngineInProcess, load
from .figures import FIGURES
from .plain_encode import Library
from .services import MODEL, Broker, end, start_worker
from .shapes import SHAPES, TOKENS, long_texts, save_shape
from .topic_to_topic import TopicToTopic
from .turns import in_turn, rate

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Mapping, Sequence

    from worker.encoder.interface import LoadedModel

    from .recording import Results

_SMI = ("nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "-lms", "100", "--id")
_NO_DEVICE = 2


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, and write the result."""
    wanted = parser(__doc__, rounds=3, texts=4096, broker=True)
    wanted.add_argument("--device", default="cuda")
    wanted.add_argument("--shapes", nargs="+", choices=list(SHAPES), default=["large", "llama", "minilm"])
    options = wanted.parse_args(arguments)
    on_gpu = options.device.startswith("cuda")
    if on_gpu and not torch.cuda.is_available():
        print("no CUDA device here: nothing is measured")
        raise SystemExit(_NO_DEVICE)
    with measuring("gpu", options) as (results, leaving):
        if on_gpu:
            results.detail("device", torch.cuda.get_device_name(options.device))
        broker = Broker(leaving, options.bootstrap)
        results.detail("broker", broker.name)
        for shape in options.shapes:
            with ExitStack() as done:
                folder = Path(done.enter_context(tempfile.TemporaryDirectory()))
                _one_shape(shape, save_shape(shape, folder, options.device), broker, options, results)


def _one_shape(shape: str, source: str, broker: Broker, options: argparse.Namespace, results: Results) -> None:
    full, mixed = long_texts(options.texts), mixed_texts(options.texts)
    packed = load("auto", source, options.device)
    results.detail(f"packed ({shape})", not packed.encoder.limits.is_padded)
    at_full = Encoding(packed, cut(packed, full, is_padded=False))
    (speeds,) = _millions({"full": at_full.compute}, TOKENS * len(full), options.rounds).values()
    if shape in FIGURES["gpu"]:
        results.measure(shape, speeds, "encoder alone")
    _mixed_lengths(shape, packed, load("auto", source, options.device, "off"), mixed, options.rounds, results)
    with ExitStack() as leaving:
        engine = leaving.enter_context(EngineInProcess(packed))
        encode = {
            dtype: leaving.enter_context(Library(dtype, source, options.device)) for dtype in ("float32", "bfloat16")
        }
        for case, texts in {f"{TOKENS} tokens": full, "mixed": mixed}.items():
            sides = {dtype: partial(one.warm_up(texts).encode, texts) for dtype, one in encode.items()}
            sides["engine"] = partial(engine.warm_up(texts).embed, texts)
            rates = in_turn({name: rate(side, len(texts)) for name, side in sides.items()}, options.rounds)
            for dtype in encode:
                results.compare(f"encode-{dtype}", rates["engine"], rates[dtype], f"{shape}, {case}")
    if options.device.startswith("cuda"):
        torch.cuda.empty_cache()
        results.measure("busy", [_busy(source, broker, options.device, full)], f"{shape}, {TOKENS} tokens")


def _mixed_lengths(
    shape: str, packed: LoadedModel, padded: LoadedModel, texts: Sequence[str], rounds: int, results: Results
) -> None:
    """The tokenizer's speed, and the encoder's with packed and with padded batches."""
    tokenize = partial(packed.tokenizer.tokenize, texts, [Truncate.END] * len(texts))
    tokens = sum(len(one.ids) for one in tokenize())
    results.measure("tokenizer", _millions({"": tokenize}, tokens, rounds)[""], shape)
    sides = {
        "packed": Encoding(packed, cut(packed, texts, is_padded=False)).compute,
        "padded": Encoding(padded, cut(padded, texts, is_padded=True)).compute,
    }
    speeds = _millions(sides, tokens, rounds)
    results.compare("packed", speeds["packed"], speeds["padded"], shape)


def _millions(sides: Mapping[str, Callable[[], object]], tokens: int, rounds: int) -> dict[str, list[float]]:
    """Millions of tokens a second of each side; what comes first is warm-up."""
    in_turn(sides, 1)
    speeds = in_turn({name: rate(side, tokens) for name, side in sides.items()}, rounds)
    return {name: [speed / 1e6 for speed in one] for name, one in speeds.items()}


def _busy(source: str, broker: Broker, device: str, texts: Sequence[str]) -> float:
    """Share of the time that the device computes while a worker answers all texts from topic to topic."""
    topics = broker.topics()
    with ExitStack() as leaving:
        start_worker(leaving, broker, topics, "--model", source, "--name", MODEL, "--device", device)
        over_topics = leaving.enter_context(TopicToTopic(broker, topics.requests, topics.responses)).warm_up(texts)
        seen = leaving.enter_context(tempfile.TemporaryFile())
        smi = subprocess.Popen([*_SMI, f"GPU-{torch.cuda.get_device_properties(device).uuid}"], stdout=seen)
        try:
            over_topics.embed(texts)
        finally:
            end(smi)
        seen.seek(0)
        percents = [float(line.split()[0]) for line in seen]
        if not percents:
            raise SystemExit("the run was over before nvidia-smi said anything: give it more --texts")
        return sum(percents) / len(percents) / 100


if __name__ == "__main__":
    main()
