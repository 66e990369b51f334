"""The whole path, from a request message to what comes back, with real brokers and worker processes."""
