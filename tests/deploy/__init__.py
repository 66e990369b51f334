"""Tests of what ships around the code: images, compose file, Makefile, pinned versions."""
