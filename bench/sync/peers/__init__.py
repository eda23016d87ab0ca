"""Consumers that one would write instead of sync, each written as well as possible."""
