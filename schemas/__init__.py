"""What all processes share: every shape that crosses between them, settings, metrics."""
