"""The file side of `kafka-embeddings embed`: rows of a file in, one embedding a row out, in input order.

    readers -> grouping -> feed -> flow (isolation) -> output (writers, errors file, journal)

Start at `command.embed_file`. Importing this package imports nothing else.
"""
