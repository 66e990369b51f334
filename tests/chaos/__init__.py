"""Requests of a known history, workers and a broker that are killed and stopped, and a checker of what came of it."""
