"""`kafka-embeddings up`: broker, worker and API as one, for a first start and for development."""
