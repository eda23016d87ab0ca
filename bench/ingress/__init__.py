"""Measure the ingress beside what one would write without it."""
