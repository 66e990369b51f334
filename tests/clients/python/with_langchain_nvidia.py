"""LangChain's client for NVIDIA NIM.

python with_langchain_nvidia.py http://127.0.0.1:8000/v1 "a text" "another text"
"""

import asyncio
import json
import sys

from langchain_nvidia_ai_endpoints import NVIDIAEmbeddings

url, *texts = sys.argv[1:]

# Without a model it takes the first one the server lists.
embedder = NVIDIAEmbeddings(base_url=url)

answer = {
    "model": embedder.model,
    "documents": embedder.embed_documents(texts),
    "query": embedder.embed_query(texts[0]),
    "async_documents": asyncio.run(embedder.aembed_documents(texts)),
    "async_query": asyncio.run(embedder.aembed_query(texts[0])),
}

too_long = "word " * 1000
try:
    embedder.embed_query(too_long)
except Exception as error:  # noqa: BLE001 - this client raises nothing narrower
    answer["refused"] = str(error)
try:
    asyncio.run(embedder.aembed_query(too_long))
except Exception as error:  # noqa: BLE001 - the same
    answer["async_refused"] = str(error)

# "END" has the end of a long text left out instead.
embedder.truncate = "END"
answer["truncated"] = embedder.embed_query(too_long)

json.dump(answer, sys.stdout)
