"""Tests of the benchmarks: that they run and write what they found, never how fast anything is."""
