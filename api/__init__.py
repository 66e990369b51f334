"""`POST /v1/embeddings` and what belongs to it, over HTTP. The only home of fastapi; it loads no model."""
