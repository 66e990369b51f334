"""Tokens to vectors: the interface, its implementations, and the stage that drives them.

The only home of torch, transformers and sentence-transformers. `interface.py` imports none of them.
"""
