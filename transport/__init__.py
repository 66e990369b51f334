"""How messages travel: consumers, producers, offset tracking, topic set-up, the embedded broker.

The only home of confluent_kafka. Everything above sees `Message`, `Cluster` and the errors of `errors.py`.
"""
