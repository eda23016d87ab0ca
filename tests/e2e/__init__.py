"""A package, so that its demo and its broker end after its last test, not after the whole run."""
