"""Which workers `up` and `embed` start: one for the model of the flags, or one for each model of a catalogue."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from schemas.topics import Lane
from transport.errors import SettingsError
from worker.catalogue import build_worker_settings, read_catalogue
from worker.devices import AUTO
from worker.settings import WorkerSettings

from ..workers_on_devices import metrics_port_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_ROOM_FOR_AUTO: Final = 16
"""More than a machine's devices, which nobody has counted yet."""


@dataclass(frozen=True, slots=True)
class WorkerCommand:
    """One worker to start."""

    name: str
    """Name its model is served under."""
    slug: str
    """Names its request topics; empty for the default model."""
    flags: list[str]
    """Its command line."""


def worker_commands(flags: Mapping[str, str | None], models: Path | None, config: Path | None) -> list[WorkerCommand]:
    """The workers to start, the default model's first.

    Args:
        flags: Of the command line: `--model`, `--name`, `--encoder`, `--device`, `--devices`, `--dtype`.
        models: Catalogue; None: no catalogue.
        config: Settings file.

    Raises:
        SettingsError: It is not clear which models are meant, or a lane that is asked on would have no worker.
    """
    if set(WorkerSettings.build({}, config, "worker").served_lanes) != set(Lane):
        raise SettingsError(
            "workers that are started along with it must serve both lanes: leave `lanes` and `delivery` as they are, "
            "or start `kafka-embeddings worker` by itself"
        )
    given = [part for flag, value in flags.items() if value is not None for part in (flag, value)]
    if models is None or flags.get("--name") is not None:
        model = {"name": flags.get("--name"), "source": flags.get("--model"), "encoder": flags.get("--encoder")}
        settings = build_worker_settings({"models": models, "model": model}, config).model
        catalogue = [] if models is None else ["--models", str(models)]
        return [WorkerCommand(settings.name, settings.slug, [*catalogue, *given])]
    if flags.get("--model") is not None:
        raise SettingsError("--models names the models and where they are: leave --model out, or say which by --name")
    served = sorted(read_catalogue(models).items(), key=lambda entry: entry[1].slug != "")
    ports = _metrics_ports(flags.get("--devices"), models, served[0][0], config)
    return [
        WorkerCommand(name, model.slug, ["--models", str(models), "--name", name, *given, *next(ports)])
        for name, model in served
    ]


def _metrics_ports(devices: str | None, models: Path, name: str, config: Path | None) -> Iterator[list[str]]:
    """Flags that give each worker a port of its own, with room for one on each of its devices."""
    settings = build_worker_settings({"models": models, "model": {"name": name}}, config)
    own = devices.split(",") if devices else settings.devices
    room = _ROOM_FOR_AUTO if own == [AUTO] else max(1, len(own))
    return (metrics_port_of(settings.metrics_port, number * room) for number in itertools.count())
