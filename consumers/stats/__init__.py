"""Serve the counts over HTTP, for people and for other systems."""
