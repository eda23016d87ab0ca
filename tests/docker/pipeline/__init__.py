"""A package, so that its Compose project ends after its last test, not after the whole run."""
