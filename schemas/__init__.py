"""Code that all processes share: the records between them, settings, metrics, Kafka clients."""
