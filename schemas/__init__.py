"""What is said on the wire: messages, bodies, errors, header names, topics, and their one codec.

Nothing here touches Kafka, HTTP or a model; every other package speaks through these types.
"""
