"""Measure the ingress and what one would write without it."""
