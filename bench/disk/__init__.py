"""Measure how many bytes a callback takes in each store."""
