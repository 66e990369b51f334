"""Real processes of ours over an embedded broker, for the tests that need them."""
