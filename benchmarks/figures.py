"""Every figure that a benchmark gives, and the target it is held to: one table, for the commands and for the page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection


@dataclass(frozen=True, slots=True)
class Target:
    """Bounds that a figure should keep."""

    lowest: float | None = None
    highest: float | None = None
    feature: str = ""
    """The processor's feature that it supposes; empty: none."""

    def met(self, figure: float) -> bool:
        """Whether a figure keeps them."""
        return (self.lowest is None or figure >= self.lowest) and (self.highest is None or figure <= self.highest)

    def __str__(self) -> str:
        if self.lowest is not None and self.highest is not None:
            return f"{self.lowest:g} to {self.highest:g}"
        return f">= {self.lowest:g}" if self.highest is None else f"<= {self.highest:g}"


@dataclass(frozen=True, slots=True)
class Figure:
    """One row: a number that a benchmark gives."""

    what: str
    targets: tuple[Target, ...] = ()
    """The first one whose feature the processor has counts."""
    unit: str = ""
    """Empty: a number without one, a ratio for instance."""
    sides_unit: str = "texts/s"
    """Of the two sides, where the figure is a ratio of them."""

    def target(self, features: Collection[str]) -> Target | None:
        """The target that a machine is held to."""
        return next((one for one in self.targets if not one.feature or one.feature in features), None)


def _at_least(bound: float, feature: str = "") -> Target:
    return Target(lowest=bound, feature=feature)


def _at_most(bound: float) -> Target:
    return Target(highest=bound)


_AUTO_TO_ENCODE: Final = (_at_least(4.2, "amx_bf16"), _at_least(2.4, "avx512_bf16"), _at_least(1.5))
_AUTO_COSINE: Final = (_at_least(0.9998),)

FIGURES: Final[dict[str, dict[str, Figure]]] = {
    "engine": {
        "float32": Figure("engine in process against `encode`, float32 both", (_at_least(1.5),)),
        "auto": Figure("engine in process, dtype auto, against `encode` in float32", _AUTO_TO_ENCODE),
        "auto-bfloat16": Figure(
            "engine in process, dtype auto, against `encode` with bfloat16 weights", (_at_least(1.5),)
        ),
        "cosine-float32": Figure("worst cosine to `encode`, float32 both", (_at_least(0.999999),)),
        "cosine-auto": Figure("worst cosine to `encode` in float32, dtype auto", _AUTO_COSINE),
        "alone-float32": Figure(
            "worst cosine of an input alone to itself in other batches, float32", (_at_least(0.99999),)
        ),
        "tokenization": Figure("tokenization by itself, one thread calling", unit="texts/s"),
        "encoder-float32": Figure("encoder by itself over batches cut beforehand, float32", unit="texts/s"),
        "encoder-auto": Figure("encoder by itself over batches cut beforehand, dtype auto", unit="texts/s"),
        "alone-auto": Figure("worst cosine of an input alone to itself in other batches, dtype auto", _AUTO_COSINE),
    },
    "pipeline": {
        "engine": Figure("topic to topic against the engine in process", (_at_least(0.9),)),
        "encode": Figure("topic to topic against `encode` in float32"),
    },
    "http": {
        "bare": Figure(
            "HTTP call without a model against a bare round trip over two topics", (_at_most(4),), sides_unit="ms"
        ),
        "callers": Figure("HTTP calls without a model from 64 callers at once", unit="requests/s"),
        "encode": Figure("HTTP call with one short text against `encode` of it", (_at_most(1.3),), sides_unit="ms"),
    },
    "loop": {
        "float32": Figure(
            "topic to topic against a loop of consume, `encode`, produce; float32 both", (_at_least(4),)
        ),
        "auto": Figure(
            "topic to topic, dtype auto, against a loop of consume, `encode`, produce in float32", (_at_least(10),)
        ),
    },
    "path": {
        "base64": Figure("worker's CPU time a request without a model, 384 floats as base64", (_at_most(50),), "us"),
        "base64-rate": Figure("requests a second of these runs, base64", unit="requests/s"),
        "float": Figure("worker's CPU time a request without a model, 384 floats as JSON", (_at_most(80),), "us"),
        "float-rate": Figure("requests a second of these runs, JSON", unit="requests/s"),
    },
    "poison": {
        "rate": Figure(
            "topic to topic without a model, one request in a hundred at fault, against none",
            (_at_least(0.9),),
            sides_unit="requests/s",
        ),
        "cpu": Figure(
            "worker's CPU time a request of these runs, one in a hundred at fault, against none",
            (_at_most(1.1),),
            sides_unit="us",
        ),
    },
    "delivery": {
        "throughput": Figure("requests without a model, exactly-once against at-least-once", sides_unit="requests/s"),
    },
    "lanes": {
        "interactive": Figure(
            "interactive p99 while bulk saturates the worker, against p99 without bulk + 50 ms",
            (_at_most(1.5),),
            sides_unit="ms",
        ),
        "share": Figure(
            "share of the tokens that bulk keeps while both lanes are full; a fifth, to within a batch at either end",
            (_at_least(0.19),),
        ),
    },
    "openvino": {
        "float32": Figure("encoder against OpenVINO on the same batches, float32 both", (_at_least(1),)),
        "bfloat16": Figure("encoder against OpenVINO on the same batches, bfloat16 both", (_at_least(1),)),
    },
    "infinity": {
        "float32": Figure("topic to topic against Infinity over HTTP, float32 both", (_at_least(3),)),
        "bfloat16": Figure("topic to topic against Infinity over HTTP, bfloat16 both", (_at_least(3),)),
    },
    "scaling": {
        "time": Figure(
            "time of ten times the requests against ten times the time", (Target(0.9, 1.1),), sides_unit="s"
        ),
        "memory": Figure(
            "worker's memory, last against first tenth of the long run", (Target(0.97, 1.03),), sides_unit="MiB"
        ),
    },
    "startup": {
        "first-vector": Figure(
            "worker's start to its first vector, against a script that calls `encode`", sides_unit="s"
        ),
        "connect": Figure("from the start of the process until it has found the broker", unit="s"),
        "load": Figure("from there until the model is loaded and the check of packed batches is done", unit="s"),
        "import": Figure("of which importing torch and sentence-transformers, in a process by itself", unit="s"),
        "join": Figure("from there, joining the group, to the first vector", unit="s"),
    },
    "duplicates": {
        "saved-0": Figure("inputs over inputs computed, all different", unit="times"),
        "saved-30": Figure("inputs over inputs computed, 30 % of them repeated", unit="times"),
        "saved-60": Figure("inputs over inputs computed, 60 % of them repeated", unit="times"),
        "rate-30": Figure("texts a second with 30 % repeated, against none"),
        "rate-60": Figure("texts a second with 60 % repeated, against none"),
        "rate-cached": Figure("texts a second out of the cache, against computing them"),
    },
    "outage": {
        "worker": Figure("longest HTTP call when one of two workers is killed", unit="s"),
        "bulk": Figure("longest time without a bulk answer when one of three brokers is killed", unit="s"),
        "calls": Figure("longest time without an HTTP answer when one of three brokers is killed", unit="s"),
    },
    "gpu": {
        "large": Figure("e5-large / bge-m3 shape, 512 tokens an input, H100 class", (_at_least(0.75),), "Mtok/s"),
        "llama": Figure("Llama-3.2-1B shape, 512 tokens an input, H100 class", (_at_least(0.24),), "Mtok/s"),
        "minilm": Figure("MiniLM shape, 512 tokens an input, H100 class", (_at_least(8),), "Mtok/s"),
        "encode-float32": Figure("engine in process against `encode` in float32", (_at_least(4),)),
        "encode-bfloat16": Figure("engine in process against `encode` in bfloat16", (_at_least(1.5),)),
        "packed": Figure("packed batches against padded ones, mixed lengths", (_at_least(1.3),), sides_unit="Mtok/s"),
        "busy": Figure("share of a topic-to-topic run that the device is busy", (_at_least(0.95),)),
        "tokenizer": Figure("the tokenizer by itself, on all cores", unit="Mtok/s"),
    },
}
"""Benchmark -> key -> row, in the order they are run and shown."""
