"""The clients of the pages under `docs/clients/` are those of `tests/clients`, installed where those are."""

from __future__ import annotations

from tests.clients.conftest import java_clients, node_clients, python_clients

__all__ = ["java_clients", "node_clients", "python_clients"]
