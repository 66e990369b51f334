"""Haystack's components for NVIDIA NIM.

python with_haystack.py http://127.0.0.1:8000/v1 "a text" "another text"
"""

import json
import sys

from haystack import Document
from haystack_integrations.components.embedders.nvidia import NvidiaDocumentEmbedder, NvidiaTextEmbedder

url, *texts = sys.argv[1:]

# Without a model both take the first one the server lists.
text_embedder = NvidiaTextEmbedder(api_url=url, api_key=None)
document_embedder = NvidiaDocumentEmbedder(api_url=url, api_key=None, progress_bar=False)

query = text_embedder.run(texts[0])
documents = document_embedder.run([Document(content=text) for text in texts])
answer = {
    "model": text_embedder.model,
    "query": query["embedding"],
    "query_meta": query["meta"],
    "documents_model": document_embedder.model,
    "documents": [document.embedding for document in documents["documents"]],
    "documents_meta": documents["meta"],
}

try:
    text_embedder.run("word " * 1000)
except ValueError as error:
    answer["refused"] = str(error)

json.dump(answer, sys.stdout)
