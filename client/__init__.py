"""Request and reply over topics: publish requests, await their replies, know which workers live.

The API and the command are built on this package; it imports neither.
"""
