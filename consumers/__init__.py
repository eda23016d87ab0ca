"""Consumers bring callbacks from Kafka to sinks: one runtime, and a handler for each sink."""
