"""Commands that go in as a user, each user with the ACLs of the page's table and no others."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import pytest

from schemas.topics import TopicNames
from tests.docs.rights import processes, rights
from tests.e2e.place import Place
from transport.cluster import Cluster
from transport.settings import KafkaSettings
from transport.topic_setup import create_topics

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.kafka_broker.secured import SecuredBroker

_VARIABLE = "KAFKA_EMBEDDINGS_KAFKA__OPTIONS"


@dataclass
class Guarded:
    """A prefix of a test's own on the secured broker, for users who come one way."""

    broker: SecuredBroker
    way: str
    prefix: str
    folder: Path

    @property
    def place(self) -> Place:
        """The same topics as the operator sees them, who may do everything."""
        return Place(self.broker.bootstrap, TopicNames(self.prefix))

    @property
    def flags(self) -> list[str]:
        """What leads a command here, but for its user."""
        return ["--bootstrap", self.broker.address(self.way), "--prefix", self.prefix]

    @cached_property
    def _options(self) -> dict[str, dict[str, str]]:
        return {user: self.broker.options(user, self.way) for user in self.broker.users}

    def options(self, user: str) -> dict[str, str]:
        """librdkafka's options of a user."""
        return self._options[user]

    # --- the ways to give them to a command ---------------------------------------------------------------

    def by_flags(self, user: str) -> list[str]:
        """As `--kafka`, once for each."""
        return [part for name, value in self.options(user).items() for part in ("--kafka", f"{name}={value}")]

    def by_environment(self, user: str) -> dict[str, str]:
        """As one variable."""
        return {_VARIABLE: json.dumps(self.options(user))}

    def by_file(self, user: str) -> dict[str, str]:
        """As a file that a variable names."""
        file = self.folder / f"{user}-options.toml"
        file.write_text("".join(f'"{name}" = "{value}"\n' for name, value in self.options(user).items()))
        return {f"{_VARIABLE}_FILE": str(file)}

    def by_settings(self, user: str) -> list[str]:
        """As a file of settings."""
        file = self.folder / f"{user}.toml"
        lines = "".join(f'"{name}" = "{value}"\n' for name, value in self.options(user).items())
        file.write_text(f"[kafka.options]\n{lines}")
        return ["--config", str(file)]


@pytest.fixture(scope="session")
def guarded(secured_broker: SecuredBroker, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Guarded]:
    """Makes a prefix for users who come one way, with the rights of the page; without topics, unless asked for."""

    def make(way: str, *, with_topics: bool = False) -> Guarded:
        made = Guarded(secured_broker, way, f"guarded-{uuid.uuid4().hex[:8]}", tmp_path_factory.mktemp(way))
        secured_broker.allow(*(right for process in processes() for right in rights(process, made.prefix)))
        if with_topics:
            operator = KafkaSettings(bootstrap=secured_broker.bootstrap)
            create_topics(Cluster.probe(operator), TopicNames(made.prefix).all())
        return made

    return make
