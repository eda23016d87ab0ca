"""Measure the archive beside other readers of the same topic."""
