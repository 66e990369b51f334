"""One writer a destination: JSONL file, JSONL on standard output, Parquet in parts."""
