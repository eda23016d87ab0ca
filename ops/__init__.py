"""The hookline command: what a person runs."""
