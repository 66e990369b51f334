"""Real processes against a broker that lets in whom it knows, with exactly the ACLs of `docs/security.md`."""
