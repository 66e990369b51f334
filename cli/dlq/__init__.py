"""`kafka-embeddings dlq`: what a person does with dead letters."""
