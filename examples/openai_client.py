"""The same over HTTP, with OpenAI's own client.

pip install openai
python examples/openai_client.py --base-url http://127.0.0.1:8000/v1
"""

from __future__ import annotations

import argparse
import sys

from openai import OpenAI, OpenAIError


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base-url", default="http://127.0.0.1:8000/v1")
    parser.add_argument("--timeout", type=float, default=30, help="seconds for one attempt")
    args = parser.parse_args()

    # The client insists on a key. The API asks for none.
    client = OpenAI(base_url=args.base_url, api_key="not-needed", timeout=args.timeout, max_retries=1)
    texts = ["A cat sleeps on the sofa.", "A kitten naps on the couch.", "Quarterly revenue rose."]
    try:
        response = client.embeddings.create(model="all-MiniLM-L6-v2", input=texts)
    except OpenAIError as error:
        print(f"no embeddings from {args.base_url}: {error}", file=sys.stderr)
        return 1

    # Embeddings come in the order of the texts. They have unit length, so a dot product is the cosine.
    first, *others = [item.embedding for item in response.data]
    print(f"{len(response.data)} vectors of {len(first)} numbers, {response.usage.total_tokens} tokens")
    for text, other in zip(texts[1:], others, strict=True):
        print(f"{sum(a * b for a, b in zip(first, other, strict=True)):.3f}  {texts[0]} / {text}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
