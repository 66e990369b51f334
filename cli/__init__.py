"""The `kafka-embeddings` command: up, worker, api, embed, topics."""
