"""Measure the cost of an audit, compared with that of reading the topic alone."""
