"""The README and the pages under docs/: their code blocks are run, their links followed, their facts checked."""
