"""Tests, mirroring the source folder for folder."""
