"""One reader a format: rows in order, lazily, in bounded memory."""
