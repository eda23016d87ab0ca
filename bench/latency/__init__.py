"""Measure the time from the receipt of a callback until it is readable in Kafka and each sink."""
