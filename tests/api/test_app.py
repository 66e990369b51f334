from __future__ import annotations

from typing import TYPE_CHECKING

from api.metadata import release
from api.openapi import openapi_document
from tests.stack.command import run_command

if TYPE_CHECKING:
    import httpx

_FORBIDDEN = ("torch", "transformers", "sentence_transformers", "tokenizers", "worker")


def test_the_document_of_the_api_is_served_as_it_is_published(http: httpx.Client) -> None:
    assert http.get("/openapi.json").json() == openapi_document(release())


def test_the_api_imports_no_model_library_and_nothing_of_the_worker() -> None:
    script = f"""
import sys
from api.app import create_app
from api.serving import serve
from api.settings import ApiSettings
from client.request_reply import EmbeddingClient
from schemas.topics import Lane, TopicNames
settings = ApiSettings()
client = EmbeddingClient(settings.kafka, TopicNames(), Lane.INTERACTIVE, settings.client)
create_app(client, settings)
print("fastapi" in sys.modules, [name for name in {_FORBIDDEN!r} if name in sys.modules])
"""
    status, command = run_command(script=script)

    assert status == 0, command.quote()
    assert command.stdout == "True []\n"
