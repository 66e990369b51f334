"""LangChain's client for NVIDIA NIM, asked for shorter vectors; its key is that of NVIDIA_API_KEY, if there is one.

python with_langchain_nvidia_shorter.py http://127.0.0.1:8000/v1 256 "a text" "another text"
"""

import json
import sys

from langchain_nvidia_ai_endpoints import NVIDIAEmbeddings

url, dimensions, *texts = sys.argv[1:]

embedder = NVIDIAEmbeddings(base_url=url, dimensions=int(dimensions))
try:
    answer = {"documents": embedder.embed_documents(texts), "query": embedder.embed_query(texts[0])}
except Exception as error:  # noqa: BLE001 - this client raises nothing narrower
    answer = {"refused": str(error)}

json.dump(answer, sys.stdout)
