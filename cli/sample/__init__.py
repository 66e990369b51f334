"""The sample run: every docstring of the standard library through the request topic, and a question to it."""
