"""The `hookline` command, which operators run."""
