"""Kafka → sinks: one runtime, one handler for each sink."""
