"""LangChain's client for OpenAI.

python with_langchain_openai.py http://127.0.0.1:8000/v1 all-MiniLM-L6-v2 "a text" "another text"
"""

import asyncio
import json
import sys

import openai
from langchain_openai import OpenAIEmbeddings

url, model, *texts = sys.argv[1:]

# check_embedding_ctx_length=False sends texts. The default sends tokens of OpenAI's vocabulary, which no other
# model shares.
embedder = OpenAIEmbeddings(base_url=url, model=model, api_key="any", check_embedding_ctx_length=False)

answer = {
    "documents": embedder.embed_documents(texts),
    "query": embedder.embed_query(texts[0]),
    "async_documents": asyncio.run(embedder.aembed_documents(texts)),
}

by_default = OpenAIEmbeddings(base_url=url, model=model, api_key="any")
try:
    by_default.embed_documents(texts)
except openai.BadRequestError as error:
    answer["default_refused"] = {"status": error.status_code, "message": error.message}

json.dump(answer, sys.stdout)
