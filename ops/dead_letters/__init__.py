"""`hookline dead-letters`: list, show, send again or drop what was rejected."""
