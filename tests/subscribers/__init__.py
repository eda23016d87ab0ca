"""A package, so that its broker ends after its last test, not after the whole run."""
