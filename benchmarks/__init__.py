"""Measurements, each a command that runs both sides in turn in one run and prints their ratio."""
