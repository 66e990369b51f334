"""The HTTP path against a bare round trip over two topics and against `encode`, in turn, in one run.

    python -m benchmarks.http                          # embedded broker
    python -m benchmarks.http --bootstrap HOST:PORT

A call is one short text over a connection kept alive, the next one sent when the last is answered. The bare round
trip is a plain producer, a consumer in a process of its own that publishes what it reads, and a plain consumer: two
topics, as every call takes. `encode` computes the same text in float32 in this process.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Final

import orjson

from .bare_round_trip import BareRoundTrip
from .command import measuring, parser
from .http_callers import Caller, post_all
from .plain_encode import Library
from .services import MODEL, Broker, start_api, start_worker
from .turns import in_turn, percentiles, seconds

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence

    from .recording import Results

TEXT: Final = "How do I read a file line by line?"
_BODY: Final = orjson.dumps({"model": MODEL, "input": TEXT})
_CALLERS: Final = 64


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, and write the result."""
    wanted = parser(__doc__, rounds=5, broker=True)
    wanted.add_argument("--calls", type=int, default=400, help="of one round")
    wanted.add_argument("--dtype", default="auto", help="of the worker; encode runs in float32")
    options = wanted.parse_args(arguments)
    with measuring("http", options) as (results, leaving):
        broker = Broker(leaving, options.bootstrap)
        results.detail("broker", broker.name)
        runner = leaving.enter_context(asyncio.Runner())
        _path(broker, runner, options, results)
        _model(broker, runner, options, results)


def _path(broker: Broker, runner: asyncio.Runner, options: argparse.Namespace, results: Results) -> None:
    """The path alone, with a worker that computes nothing."""
    with ExitStack() as leaving:
        url = _serve(leaving, broker, "--encoder", "null")
        there, back, fetch_ms = broker.plain_topic(), broker.plain_topic(), broker.cluster.profile.prompt_fetch_ms
        bare = leaving.enter_context(BareRoundTrip(broker.bootstrap, there, back, fetch_ms))

        def bare_seconds(count: int) -> list[float]:
            return [bare.seconds(_BODY) for _ in range(count)]

        _compare(results, "bare", _sequential(leaving, runner, url), bare_seconds, options.rounds, options.calls)
        flood = partial(_flood, runner, url, options.calls * 5)
        results.measure("callers", [options.calls * 5 / seconds(flood) for _ in range(options.rounds)])


def _model(broker: Broker, runner: asyncio.Runner, options: argparse.Namespace, results: Results) -> None:
    """The default model behind the path, and in this process."""
    with ExitStack() as leaving:
        library = leaving.enter_context(Library())

        def encode_seconds(count: int) -> list[float]:
            return library.call(lambda: [seconds(partial(library.model.encode, TEXT)) for _ in range(count)])

        url = _serve(leaving, broker, "--dtype", options.dtype)
        calls = max(2, options.calls // 4)
        _compare(
            results, "encode", _sequential(leaving, runner, url), encode_seconds, options.rounds, calls, options.dtype
        )


def _serve(leaving: ExitStack, broker: Broker, *worker_flags: str) -> str:
    """Address of an API process over one worker process."""
    topics = broker.topics()
    start_worker(leaving, broker, topics, *worker_flags)
    return start_api(leaving, broker, topics)


def _sequential(leaving: ExitStack, runner: asyncio.Runner, url: str) -> Callable[[int], list[float]]:
    """One caller that awaits each answer before it asks again: seconds of each of so many calls."""
    caller = runner.run(Caller.connect(url))
    leaving.callback(lambda: runner.run(caller.close()))

    async def calls(count: int) -> list[float]:
        taken = []
        for _ in range(count):
            started_at = time.perf_counter()
            await caller.post(_BODY)
            taken.append(time.perf_counter() - started_at)
        return taken

    return lambda count: runner.run(calls(count))


def _flood(runner: asyncio.Runner, url: str, calls: int) -> None:
    runner.run(post_all(url, iter([_BODY] * calls), _CALLERS))


def _compare(
    results: Results,
    key: str,
    ours: Callable[[int], list[float]],
    theirs: Callable[[int], list[float]],
    rounds: int,
    calls: int,
    case: str = "",
) -> None:
    """Medians of both sides' calls, round by round; what comes first is warm-up."""
    sides = {"http": partial(ours, calls), "other": partial(theirs, calls)}
    for side in (ours, theirs):
        side(max(1, calls // 4))
    taken = in_turn(sides, rounds)
    medians = {name: [statistics.median(one) * 1000 for one in turns] for name, turns in taken.items()}
    results.compare(key, medians["http"], medians["other"], case)
    for name, turns in taken.items():
        results.detail(f"{name} beside {key}, ms", percentiles([second * 1000 for one in turns for second in one]))


if __name__ == "__main__":
    main()
