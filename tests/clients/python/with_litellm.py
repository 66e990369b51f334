"""LiteLLM, with its provider `nvidia_nim`.

python with_litellm.py http://127.0.0.1:8000/v1 all-MiniLM-L6-v2 "a text" "another text"
"""

import asyncio
import json
import sys

import litellm

url, model, *texts = sys.argv[1:]
litellm.suppress_debug_info = True
server = {"model": f"nvidia_nim/{model}", "api_base": url, "api_key": "any"}

response = litellm.embedding(input=texts, **server)
async_response = asyncio.run(litellm.aembedding(input=texts, input_type="query", **server))
answer = {
    "documents": [entry["embedding"] for entry in response.data],
    "prompt_tokens": response.usage.prompt_tokens,
    "async_documents": [entry["embedding"] for entry in async_response.data],
}

try:
    litellm.embedding(input=["word " * 1000], **server)
except litellm.ContextWindowExceededError as error:
    answer["refused"] = {"status": error.status_code, "message": str(error)}

json.dump(answer, sys.stdout)
