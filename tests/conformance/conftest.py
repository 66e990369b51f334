"""The service over either broker, the small models behind it, and a second API of it that asks for keys."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from api.keys import new_key
from tests.clients.conftest import python_clients
from tests.stack.stack import Api

from .models import SmallModels, save_models
from .service import Service, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["python_clients"]


@pytest.fixture(scope="session")
def small_models(tmp_path_factory: pytest.TempPathFactory) -> SmallModels:
    """The models and their catalogue, saved once."""
    return save_models(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="package")
def service(request: pytest.FixtureRequest, small_models: SmallModels) -> Iterator[Service]:
    """All models served by `up`."""
    bootstrap = request.getfixturevalue("kafka_bootstrap") if request.param == "kafka" else None
    with serving(small_models, bootstrap) as service:
        yield service


@dataclass(frozen=True, slots=True)
class Guarded:
    """The service through an API that asks for keys."""

    service: Service
    key: str
    limited_key: str
    """Good for one request a minute."""


@pytest.fixture(scope="package")
def guarded(service: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """A second API over the same broker and workers."""
    path = tmp_path_factory.mktemp("keys") / "keys.json"
    key, limited_key = new_key(path, "search"), new_key(path, "limited", requests_per_minute=1)
    with Api("api", *service.place, "--port", "0", "--auth", str(path)) as api:
        api.wait_until_ready()
        yield Guarded(service.through(api.http), key, limited_key)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every case over both brokers, but for modules that name theirs."""
    if "service" in metafunc.fixturenames:
        brokers = getattr(metafunc.module, "BROKERS", ["embedded", pytest.param("kafka", marks=pytest.mark.kafka)])
        metafunc.parametrize("service", brokers, indirect=True, scope="package")
