"""Carry the rows of spools to Kafka, each of them once."""
