"""Real servers as child processes, for machines without Docker: `hookline demo` and the tests."""
