"""LlamaIndex's client for NVIDIA NIM.

python with_llama_index.py http://127.0.0.1:8000/v1 "a text" "another text"
"""

import asyncio
import json
import sys

import openai
from llama_index.embeddings.nvidia import NVIDIAEmbedding

url, *texts = sys.argv[1:]

# Without a model it takes the first one the server lists.
embedder = NVIDIAEmbedding(base_url=url)


async def ask_asynchronously() -> dict[str, object]:
    # In one event loop: the client keeps its connections, and they belong to the loop that opened them.
    return {
        "async_documents": await embedder.aget_text_embedding_batch(texts),
        "async_query": await embedder.aget_query_embedding(texts[0]),
    }


answer = {
    "model": embedder.model,
    "documents": embedder.get_text_embedding_batch(texts),
    "query": embedder.get_query_embedding(texts[0]),
    **asyncio.run(ask_asynchronously()),
}

try:
    embedder.get_text_embedding("word " * 1000)
except openai.BadRequestError as error:
    answer["refused"] = {"status": error.status_code, "code": error.code}

json.dump(answer, sys.stdout)
